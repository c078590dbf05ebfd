//! Sometimes-marks: situations that a campaign must have met at least once to have proved anything.
//! Knows nothing of how they come about; the rooms of the world hit them by name.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often a mark is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    Often,
    /// A debt: a campaign that never meets it says so and passes.
    Rare,
}

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident $expected:ident $text:literal;)*) => {
        /// One situation worth having been in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Mark { $($(#[$doc])* $name,)* }
        impl Mark {
            pub const ALL: &'static [Mark] = &[$(Mark::$name,)*];
            pub fn name(self) -> &'static str {
                match self { $(Mark::$name => $text,)* }
            }
            pub fn expected(self) -> Expected {
                match self { $(Mark::$name => Expected::$expected,)* }
            }
        }
    };
}

marks! {
    ClusterFounded Often "cluster-founded";
    StandbyCloned Often "standby-cloned";
    LeaderChanged Often "leader-changed";
    RewindDone Often "rewind-done";
    FencerFired Often "fencer-fired";
    AcquireInDoubt Often "acquire-verdict-lost-but-applied";
    AppliedAfterGivingUp Often "request-applied-after-its-sender-gave-up";
    LeaseProlongedByElection Often "lease-prolonged-by-store-election";
    LeaseExpired Often "lease-expired";
    StaleRead Often "stale-read-served";
    BackendOutlivedPostmaster Often "backend-outlived-postmaster";
    KilledInDiskWait Often "killed-in-disk-wait";
    CommittedWithoutPostmaster Often "committed-without-postmaster";
    PromoteFailed Often "promote-failed";
    TwoForksOneNumber Often "two-forks-with-one-number";
    AckedCommitLost Often "acknowledged-commit-lost";
    RewindBroken Often "rewind-left-a-broken-directory";
    StandbyAhead Often "standby-ahead-of-the-new-timelines-fork";
    FrozenLeaderWoke Often "frozen-leader-woke-after-expiry";
    AdoptedAfterRestart Often "agent-restarted-while-postgres-went-on";
    OrderlyHandOver Often "orderly-hand-over";
    StopEscalated Often "stop-escalated";
    CrashRecoveryDone Often "crash-recovery-done";
    DataDiscarded Often "data-discarded";
    CloneBroke Often "clone-broke";
    FencerReplaced Often "fencer-replaced";
    RequestRefused Often "request-refused";
    StopWaitsForArchiver Often "stop-waits-for-archiver";
    RestoredFromArchive Often "restored-from-archive";
    NotOnTheNewest Rare "standby-not-on-the-newest-timeline";
    WalRemoved Often "wal-removed";
    SlotLost Often "slot-lost";
    WantsRemovedWal Often "standby-wants-removed-wal";
    RewindLacksWal Often "rewind-lacks-wal";
    RewoundIsNotFed Often "rewound-directory-is-not-fed";
    PatroniLed Often "patroni-led";
    PatroniWrotePastItsLock Often "patroni-wrote-past-its-lock";
    AgentSwapped Often "agent-swapped";
    WatchdogFired Often "watchdog-fired";
}

/// Marks hit by one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    hits: BTreeMap<Mark, u64>,
}

impl Marks {
    /// Counts a hit; true when it is the first of this run.
    pub fn hit(&mut self, mark: Mark) -> bool {
        let count = self.hits.entry(mark).or_default();
        *count += 1;
        *count == 1
    }
    pub fn hits(&self) -> &BTreeMap<Mark, u64> {
        &self.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mark_has_a_name_of_its_own_and_few_are_debts() {
        let names: BTreeSet<_> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        assert_eq!(names.len(), Mark::ALL.len());
        let debts = Mark::ALL
            .iter()
            .filter(|mark| mark.expected() == Expected::Rare);
        assert!(debts.count() * 20 <= Mark::ALL.len());
    }

    #[test]
    fn only_the_first_hit_is_news() {
        let mut marks = Marks::default();
        assert!(marks.hit(Mark::LeaderChanged));
        assert!(!marks.hit(Mark::LeaderChanged));
        assert_eq!(marks.hits()[&Mark::LeaderChanged], 2);
    }
}
