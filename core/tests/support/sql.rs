//! What a session of a plain server tells: what the tests of an observation begin with.

use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::SqlStatus;
use tanist_core::time::Wall;
use tanist_core::timeline::TimelineId;

/// Of a standby that streams, or of a primary, on the first timeline.
pub fn status(in_recovery: bool) -> SqlStatus {
    let of_standby = |at| if in_recovery { Lsn(at) } else { Lsn::INVALID };
    SqlStatus {
        in_recovery,
        server_version: 150_014,
        started_at: Wall(1_795_375_000_000_000),
        timeline: TimelineId(1),
        written: Lsn(if in_recovery { 0 } else { 50_331_784 }),
        received: of_standby(50_331_784),
        received_timeline: TimelineId(1),
        replayed: of_standby(50_331_600),
        replay_paused: false,
        replayed_at: None,
        streaming: in_recovery,
        upstream: None,
        upstream_slot: None,
        slots: BTreeMap::new(),
        standbys: Vec::new(),
        limits: BTreeMap::new(),
        one_timeline: None,
        pending_restart: false,
        synchronous_standby_names: String::new(),
    }
}
