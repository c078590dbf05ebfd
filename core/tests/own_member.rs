//! The law of what a member says of itself: what is compared without having been made a value compares as the value does.

#[path = "support/sql.rs"]
mod sql;
mod support;

use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::{option, sample::select};
use serde_json::json;
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::member::MemberData;
use tanist_core::name::MemberName;
use tanist_core::own_member::{Compared, OwnMember};
use tanist_core::postgres::{CopyId, SqlStatus};
use tanist_core::settings::Settings;
use tanist_core::timeline::TimelineId;
use tanist_core::view::{Role, State};

/// What one member may have to say: the first few of everything, so that two of them are often equal.
fn status() -> impl Strategy<Value = SqlStatus> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 0..2u64, 0..2u64, 1..3u32).prop_map(
        |((in_recovery, streaming, pending_restart), written, received, timeline)| SqlStatus {
            streaming,
            pending_restart,
            written: Lsn(written),
            received: Lsn(received),
            replayed: Lsn(0),
            timeline: TimelineId(timeline),
            received_timeline: TimelineId(timeline),
            started_at: support::at(0).wall,
            ..sql::status(in_recovery)
        },
    )
}

fn copy() -> impl Strategy<Value = CopyId> {
    select(&["00ff", "11ee"][..]).prop_map(|id| CopyId(id.to_string()))
}

#[derive(Clone, Debug)]
struct Known {
    settings: Settings,
    status: Option<SqlStatus>,
    role: Role,
    paused: bool,
    awaits_checkpoint: bool,
    copy: Option<CopyId>,
    instance: u64,
    accepts: BTreeMap<MemberName, CopyId>,
}

impl Known {
    fn own_member(&self) -> OwnMember<'_> {
        OwnMember {
            settings: &self.settings,
            state: State::Running,
            role: self.role,
            paused: self.paused,
            status: self.status.as_ref(),
            awaits_checkpoint: self.awaits_checkpoint,
            copy: self.copy.as_ref(),
            instance: self.instance,
            accepts: &self.accepts,
        }
    }
}

prop_compose! {
    fn known()(
        status in option::of(status()),
        role in select(&[Role::Primary, Role::Replica][..]),
        flags in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        copy in option::of(copy()),
        instance in 0..3u64,
        accepts in btree_map(select(&["a", "b"][..]).prop_map(MemberName::from), copy(), 0..3),
    ) -> Known {
        let (paused, awaits_checkpoint, proxied, tagged) = flags;
        let mut settings = support::settings();
        settings.proxy_url = proxied.then(|| "postgres://proxy/".to_string());
        if tagged {
            settings.tags.insert("nofailover".into(), json!(true));
        }
        Known { settings, status, role, paused, awaits_checkpoint, copy, instance, accepts }
    }
}

fn but_for_positions(data: &MemberData) -> MemberData {
    MemberData {
        xlog_location: None,
        replay_lsn: None,
        receive_lsn: None,
        ..data.clone()
    }
}

proptest! {
    #[test]
    fn what_is_compared_unmade_compares_as_what_is_made_of_it(a in known(), b in known()) {
        for (one, other) in [(&a, &b), (&a, &a)] {
            let (own, written) = (one.own_member(), other.own_member().data());
            let made = own.data();
            let compared = if made == written {
                Compared::Same
            } else if but_for_positions(&made) == but_for_positions(&written) {
                Compared::Alike
            } else {
                Compared::Otherwise
            };
            prop_assert_eq!(own.compared_with(&written), compared);
        }
    }
}
