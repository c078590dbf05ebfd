//! What is set aside for a member that is run by Patroni, and why; nothing else is. Judges nothing itself.
//!
//! A Patroni without a watchdog has nobody who ends its PostgreSQL when its agent stands still, is killed, or waits for a
//! store that does not answer; it counts its lease from the answer, on the wall clock, and an immediate stop that takes
//! its time has no second deadline. So it can go on writing after its leader key is gone. That is Patroni's own bound, and
//! a cluster that is swapped node by node has it for as long as a Patroni leads.
//!
//! - S01, S21: a Patroni that writes, or says that it is the primary, without the leader key is left out of the count, for
//!   as long as its host's watchdog, where it has opened one, lets it. With the key it counts: then whoever else writes is
//!   wrong, and Tanist's members are counted in any case.
//! - S13, S14: Patroni compares numbers of timelines only. A Patroni that follows, and whatever streams from a Patroni
//!   (real/README.md: "not covered: an upstream that is run by Patroni"), may be given another's WAL.
//! - S27: a Patroni gives its key away after its stop, whether or not anybody has its shutdown checkpoint; and where it cannot
//!   reach who was chosen it takes a free key with less, up to `maximum_lag_on_failover`.
//! - S02, S03, S05, S10, S11, S12, S15, S16, S18, S19, S23, S24, L04, L08, L09, L10, S29 are promises about what an agent of
//!   Tanist does or rests on. Of a Patroni's own deeds nothing is promised here.
//! - L01, L02, L06: a Patroni that is ended in the middle of initdb leaves its claim on the `initialize` key, which no lease is
//!   under: nobody founds the cluster until a person has taken the key away.
//! - L01, L02, L06: where a Patroni that has lost the key unseen promotes its server into the archive, no standby starts that
//!   is not on its timeline.
//! - L01, L02, L06: a Patroni that was frozen takes the key again as the primary that it was, whoever has opened a timeline
//!   since. Where that one's history is in the archive no standby of its own starts.
//! - L01, L02, L06: a Patroni that is ended between initdb and its post-bootstrap leads without the roles that others clone with.
//! - L01, L02, L06: a Patroni that is killed in the middle of a stop that hangs leads on, in its next life, until
//!   `primary_start_timeout` is over; as a standby it waits for as long as the stop hangs.
//! - L02: a Patroni whose WAL is not a prefix of the leader's, that asks for what the leader has removed, or whose rewound
//!   server starts for nobody, is repaired by its own rules, or by a person. Any other has to stream, whoever leads.

use crate::pg::instance::{Phase, Server, Stopping};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::dcs::LeaseId;
use tanist_core::keys::INITIALIZE;

impl World {
    /// It is run by Patroni and does not hold the leader key.
    pub(crate) fn is_past_its_lock(&self, seat: Seat) -> bool {
        self.is_patroni(seat) && self.leader_seat() != Some(seat)
    }

    /// Past its lock, and nothing that it has set up should have ended its writing by now.
    pub(crate) fn may_write_on(&self, seat: Seat) -> bool {
        let now = self.host_now(seat).mono;
        let device = self.hosts[seat.index()].watchdog.as_ref();
        self.is_past_its_lock(seat) && !device.is_some_and(|device| device.is_overdue(now))
    }

    /// Its watchdog runs, and ends PostgreSQL with everything else on the host, whoever stands still.
    pub(crate) fn is_watched(&self, seat: Seat) -> bool {
        let device = self.hosts[seat.index()].watchdog.as_ref();
        self.is_patroni(seat) && device.is_some_and(|device| device.resets_at().is_some())
    }

    /// A Patroni has left the cluster in a state out of which only a person helps.
    pub(crate) fn is_spoilt_by_a_patroni(&self) -> bool {
        let leader = self.leader_seat().filter(|seat| self.is_patroni(*seat));
        // The newest timeline of the archive is not its own: it leads where the cluster was before.
        let relic = |seat| self.writes_beside_the_archive(seat);
        let without_roles = |seat: Seat| self.pgs[seat.index()].dir.roles_owed;
        let spoilt = |seat| relic(seat) || without_roles(seat) || self.hangs_in_a_stop(seat);
        self.is_claimed_for_good() || leader.is_some_and(spoilt)
    }

    /// A later life of the agent takes the stop that never ends for a start, and keeps the key for `primary_start_timeout`
    /// (2.4).
    pub(crate) fn hangs_in_a_stop(&self, seat: Seat) -> bool {
        let server = self.pgs[seat.index()].server.as_ref();
        let agent = self.hosts[seat.index()].agent.as_ref();
        let of_an_earlier_life = agent.is_none_or(|agent| agent.lane.is_none());
        of_an_earlier_life && server.is_some_and(|s| s.stopping == Some(Stopping::Hanging))
    }

    /// Nobody has ever led, and an empty claim without a lease stands in the way.
    fn is_claimed_for_good(&self) -> bool {
        let claim = self.store.get(INITIALIZE);
        let left = claim.is_some_and(|kv| kv.value.is_empty() && kv.lease == LeaseId::NONE);
        left && self.oracle.evidence.ever_led.is_none()
    }

    /// A rewound server needs WAL of its source before it lets anybody in. Patroni has started it while nobody led, and
    /// points no server elsewhere that is still starting (2.4).
    pub(crate) fn starts_for_nobody(&self, seat: Seat) -> bool {
        let pg = &self.pgs[seat.index()];
        let starts = |s: &Server| s.phase == Phase::Recovery { consistent: false };
        let needs_more = pg.dir.reaches() != pg.dir.wal;
        needs_more && pg.dir.upstream.is_none() && pg.server.as_ref().is_some_and(starts)
    }

    /// What it serves need not be what its timeline's number says.
    pub(crate) fn may_be_mistaken(&self, seat: Seat) -> bool {
        let upstream = self.pgs[seat.index()].receiver().map(|r| r.from);
        let fed_by_patroni = upstream.is_some_and(|from| self.is_patroni(from));
        self.is_past_its_lock(seat) || fed_by_patroni
    }
}
