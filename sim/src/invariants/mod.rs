//! The promises of the cluster, judged against the true world after every event. One file a promise, each with
//! its reason in PostgreSQL's terms. No file here changes anything.
//!
//! A promise is set aside, and counted as such, while an assumption that it rests on does not hold.

pub mod assumptions;
pub mod async_loss;
pub mod calm;
pub mod explained;
pub mod fresh_view;
pub mod initialize_once;
pub mod key_hand_over;
pub mod last_copy;
pub mod lets_clients_in;
pub mod liveness;
pub mod no_writer_past_deadline;
pub mod nofailover;
pub mod one_content;
pub mod one_operation;
pub mod one_says_primary;
pub mod one_writer;
pub mod patroni_alone;
pub mod pause_touches_nothing;
pub mod progress;
pub mod promote_needs_key;
pub mod record_kept;
mod replayable;
pub mod requests_end;
pub mod revisions_grow;
pub mod rewind_preconditions;
pub mod slots_kept;
pub mod starved;
pub mod stored_config;
pub mod streaming_is_prefix;
pub mod streams_on;
pub mod switchover_loses_nothing;
pub mod timelines_grow;
pub mod timing_fits;
pub mod unarchived_wal;

use crate::event::{Broken, Counted};
use crate::moment::Moment;
use assumptions::Assumptions;
use calm::Calm;
use std::collections::BTreeMap;
use tanist_core::time::Span;

macro_rules! invariants {
    ($($name:ident $text:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant { $($name,)* }
        impl Invariant {
            pub const ALL: &'static [Invariant] = &[$(Invariant::$name,)*];
            /// Its id in the catalogue, and its name.
            pub fn name(self) -> &'static str {
                match self { $(Invariant::$name => $text,)* }
            }
        }
    };
}

invariants! {
    OneWriter "S01 one-writer";
    PromoteNeedsKey "S02 promote-needs-key";
    NoWriterPastDeadline "S03 no-writer-past-deadline";
    KeyHandOver "S04 key-hand-over";
    RevisionsGrow "S05 revisions-grow";
    NofailoverNeverChosen "S10 nofailover-never-chosen";
    AsyncLossBounded "S11 async-loss-bounded";
    TimelinesGrow "S12 timelines-grow";
    OneContent "S13 one-content";
    StreamingIsPrefix "S14 streaming-is-prefix";
    RewindPreconditions "S15 rewind-preconditions";
    LastCopyKept "S16 last-copy-kept";
    InitializeOnce "S17 initialize-once";
    PauseTouchesNothing "S18 pause-touches-nothing";
    SlotsKept "S19 slots-kept";
    OneSaysPrimary "S21 one-says-primary";
    OneOperation "S23 one-operation";
    TimingFits "S24 timing-fits";
    SwitchoverLosesNothing "S27 switchover-loses-nothing";
    Replayable "S29 replayable";
    OneLeaderServes "L01 one-leader-serves";
    AllFollow "L02 all-follow";
    NoNeedlessChange "L03 no-needless-change";
    FreshView "L04 fresh-view";
    RequestsEnd "L06 requests-end";
    Progress "L07 progress";
    LetsClientsIn "L08 lets-clients-in";
    StreamsOn "L09 streams-on";
    Explained "L10 explained";
}

/// Judges, counts, and keeps the first broken promise.
#[derive(Debug, Default)]
pub struct Oracle {
    counts: Vec<Counts>,
    pub broken: Option<Broken>,
    pub assumptions: Assumptions,
    pub calm: Calm,
    pub evidence: Evidence,
    /// The instant that is being judged.
    pub now: Moment,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    evaluations: u64,
    suspended: u64,
    suspended_for: Span,
    seen_at: Moment,
}

/// What was seen happen, for promises about more than one instant.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The end of each member's authority as the true lease gives it, on its own clock.
    pub deadlines: BTreeMap<crate::wire::Seat, tanist_core::time::Mono>,
    /// Who led as a Patroni, by a lease that is not known here.
    pub led_as_patroni: std::collections::BTreeSet<crate::wire::Seat>,
    /// The leader key was held by somebody at least once.
    pub ever_led: Option<Moment>,
    /// The value under which the cluster was founded.
    pub founded_as: Option<String>,
    /// A leader released its key after a clean stop that a switchover had asked for: the end of its WAL.
    pub handed_over: Option<switchover_loses_nothing::HandedOver>,
    /// Rewinds of each member that failed, one after the other.
    pub rewinds_failed: BTreeMap<crate::wire::Seat, u32>,
    /// In which of its agent's lives each member was rewound last.
    pub rewound_in: BTreeMap<crate::wire::Seat, u32>,
    /// When a start of each member's server was last given up for its time.
    pub start_given_up: BTreeMap<crate::wire::Seat, Moment>,
    /// What each agent said last that it does, and in which of its lives.
    pub decided: BTreeMap<crate::wire::Seat, (u32, tanist_core::decision::Decision)>,
    /// What was asked for, and who has led.
    pub asking: requests_end::Asking,
    /// Who opened each timeline.
    pub openers: BTreeMap<crate::pg::wal::BranchId, crate::wire::Seat>,
    /// How busy each agent is kept.
    pub told: BTreeMap<crate::wire::Seat, progress::Told>,
    /// Since when the leader lets nobody in.
    pub closed: Option<lets_clients_in::Closed>,
    /// The store's revision when all was last healed.
    pub healed_at: tanist_core::dcs::Revision,
    /// When a member's key was last there, by the name of its slot.
    pub member_seen: BTreeMap<String, Moment>,
    /// When somebody wrote `initialize` past the agents.
    pub initialize_by_hand: Option<tanist_core::dcs::Revision>,
    /// The branches that somebody opened by promoting a server past its agent, or a Patroni without the leader key.
    pub opened_astray: Vec<crate::pg::wal::BranchId>,
    /// What the store's configuration said last.
    pub config: stored_config::StoredConfig,
    /// Greatest revision that each life decided from.
    pub decided_from: BTreeMap<crate::wire::Seat, (u32, tanist_core::dcs::Revision)>,
}

impl Oracle {
    pub fn judge(&mut self, which: Invariant, at: Moment, verdict: Result<(), String>) {
        self.fine(which);
        if let Err(story) = verdict
            && self.broken.is_none()
        {
            let invariant = which.name().to_string();
            self.broken = Some(Broken {
                invariant,
                at,
                story,
            });
        }
    }

    /// The promise holds at a glance.
    pub fn fine(&mut self, which: Invariant) {
        let now = self.now;
        let counts = self.count(which);
        counts.evaluations += 1;
        counts.seen_at = now;
    }

    /// The promise is not made just now.
    pub fn set_aside(&mut self, which: Invariant) {
        let now = self.now;
        let counts = self.count(which);
        counts.suspended += 1;
        counts.suspended_for = counts.suspended_for + now.since(counts.seen_at);
        counts.seen_at = now;
    }

    fn count(&mut self, which: Invariant) -> &mut Counts {
        if self.counts.is_empty() {
            self.counts = vec![Counts::default(); Invariant::ALL.len()];
        }
        &mut self.counts[which as usize]
    }

    pub fn counted(&self) -> BTreeMap<&'static str, Counted> {
        let of = |which: &Invariant| {
            let counts = self
                .counts
                .get(*which as usize)
                .copied()
                .unwrap_or_default();
            Counted {
                evaluations: counts.evaluations,
                suspended: counts.suspended,
                suspended_for: counts.suspended_for,
            }
        };
        Invariant::ALL
            .iter()
            .map(|which| (which.name(), of(which)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_broken_promise_is_kept_and_all_are_counted() {
        let mut oracle = Oracle::default();
        oracle.judge(Invariant::OneWriter, Moment::secs(1), Ok(()));
        oracle.judge(Invariant::OneWriter, Moment::secs(2), Err("two".into()));
        oracle.judge(Invariant::OneContent, Moment::secs(3), Err("other".into()));
        assert_eq!(oracle.broken.as_ref().map(|b| b.at), Some(Moment::secs(2)));
        assert_eq!(oracle.counted()["S01 one-writer"].evaluations, 2);
    }
}
