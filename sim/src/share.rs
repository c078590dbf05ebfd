//! The file that one share of a campaign leaves for `merge`: what was ordered, and what it came to.
//! Refuses to join what does not belong together. Knows nothing of how runs are run.

use crate::scenario::lex::show_span;
use crate::tally::Tally;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tanist_core::time::Span;

/// Which campaign a tally belongs to. Two shares belong together if they have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Version of the simulator that drew and ran the plans.
    pub simulator: String,
    pub first_seed: u64,
    /// Length of each run's chaos phase.
    pub chaos: Span,
    pub shards: u64,
    /// The cluster that all ran with, as a scenario writes it; `None`: each run drew its own.
    pub cluster: Option<String>,
}

/// One or more shares of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    pub campaign: Campaign,
    /// Which shares these are, counted from 1.
    pub parts: BTreeSet<u64>,
    pub tally: Tally,
}

impl Share {
    /// Share `part` (from 0) of a campaign of this very build.
    pub fn of(campaign: Campaign, part: u64, tally: Tally) -> Share {
        Share {
            campaign,
            parts: BTreeSet::from([part + 1]),
            tally,
        }
    }

    pub fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a tally is plain data with text keys") + "\n"
    }

    /// Reads a share back; what is wrong with it otherwise.
    pub fn read(text: &str) -> Result<Share, String> {
        serde_json::from_str(text)
            .map_err(|e| format!("not a tally that `tanist-sim swarm --tally` has written: {e}"))
    }

    /// Joins another share to this one; why that cannot be, otherwise.
    pub fn join(&mut self, other: Share) -> Result<(), String> {
        if self.campaign != other.campaign {
            return Err(format!(
                "of another campaign: this is {}, the one before it {}",
                other.campaign.words(),
                self.campaign.words()
            ));
        }
        if let Some(twice) = self.parts.intersection(&other.parts).next() {
            return Err(format!(
                "share {twice}/{} is counted already",
                self.campaign.shards
            ));
        }
        self.parts.extend(other.parts);
        self.tally.join(other.tally);
        Ok(())
    }

    /// Shares of the campaign that are not among these.
    pub fn missing(&self) -> Vec<u64> {
        let all = 1..=self.campaign.shards;
        all.filter(|part| !self.parts.contains(part)).collect()
    }
}

impl Campaign {
    /// A campaign of this very build.
    pub fn new(first_seed: u64, chaos: Span, shards: u64, cluster: Option<String>) -> Campaign {
        Campaign {
            simulator: env!("CARGO_PKG_VERSION").to_string(),
            first_seed,
            chaos,
            shards,
            cluster,
        }
    }

    fn words(&self) -> String {
        format!(
            "from seed {:x} on in {} shares, {} of chaos, version {}, {}",
            self.first_seed,
            self.shards,
            show_span(self.chaos),
            self.simulator,
            self.cluster.as_deref().unwrap_or("drawn clusters")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(part: u64) -> Share {
        let tally = Tally {
            runs: 10,
            ..Tally::default()
        };
        Share::of(Campaign::new(1, Span::secs(60), 3, None), part, tally)
    }

    #[test]
    fn shares_of_one_campaign_join_once_each() {
        let mut sum = share(0);
        sum.join(share(2)).unwrap();
        assert_eq!((sum.tally.runs, sum.missing()), (20, vec![2]));
        assert_eq!(
            sum.join(share(2)).unwrap_err(),
            "share 3/3 is counted already"
        );
        let mut other = share(1);
        other.campaign.first_seed = 0xab;
        let told = sum.join(other).unwrap_err();
        assert!(told.contains("from seed ab on"), "{told}");
        assert_eq!(sum.tally.runs, 20);
    }

    #[test]
    fn a_share_reads_back_and_another_file_is_refused() {
        assert_eq!(Share::read(&share(1).text()), Ok(share(1)));
        let told = Share::read("{}").unwrap_err();
        assert!(told.contains("--tally"), "{told}");
    }
}
