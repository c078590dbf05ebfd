//! What the clients' books say in the end: commits beside each other, rows that are there twice, rows lost, and which of
//! those nobody may lose. Knows nothing of processes or claims.

use tanist::testbed::checker::{self, Rows};
use tanist::testbed::clients::Journal;
use tanist_core::name::MemberName;
use tanist_sim::act::{Act, OperatorAct};
use tanist_sim::plan::Plan;

/// Where each leader said that its WAL ends, as far as it was seen.
///
/// The position is read before the owner of the leader key: one read beside an owner was published in its time or before,
/// so the bound that follows from it is never sharper than the promise.
#[derive(Debug, Default)]
pub struct Published {
    owner: Option<MemberName>,
    position: u64,
    at_handover: Option<u64>,
}

impl Published {
    /// A look at the store: `status`, then the leader key.
    pub fn look(&mut self, status: Option<u64>, owner: Option<&MemberName>) {
        let Some(owner) = owner else {
            return;
        };
        if self.owner.as_ref().is_some_and(|known| known != owner) {
            let least = self.at_handover.unwrap_or(self.position);
            self.at_handover = Some(Ord::min(least, self.position));
        }
        self.owner = Some(owner.clone());
        self.position = status.unwrap_or(self.position);
    }

    /// The least that a leader had published when another took over; nothing, if nobody did.
    pub fn at_handover(&self) -> Option<u64> {
        self.at_handover
    }
}

/// What was promised in every story, and did not hold. `rows`: unless nobody was there to tell what it holds.
pub fn broken_promises(
    plan: &Plan,
    journal: &Journal,
    rows: Option<&Rows>,
    published: &Published,
) -> Vec<String> {
    let free_run = !plan.acts().any(Act::ends_free_run);
    let overlaps = match free_run {
        true => checker::overlaps(&journal.commits),
        // Whoever promotes past the agents makes a second writer.
        false => Vec::new(),
    };
    let beside = overlaps.iter().map(|overlap| {
        format!(
            "{} and {} committed beside each other for {:.3} s",
            overlap.old.node,
            overlap.new.node,
            overlap.lasted.as_secs_f64()
        )
    });
    let mut broken: Vec<String> = beside.collect();
    let Some(rows) = rows else {
        return broken;
    };
    if !rows.duplicated.is_empty() {
        broken.push(format!("rows are there twice: {:?}", rows.duplicated));
    }
    if bounds_loss(plan) {
        let allowed = plan.cluster.maximum_lag_on_failover;
        let beyond = match published.at_handover() {
            Some(position) => checker::beyond_bound(&rows.lost, position, allowed),
            None => rows.lost.iter().collect(),
        };
        if let Some(first) = beyond.first() {
            broken.push(format!(
                "{} rows are lost that nobody may lose, the first of them {} at {} on {}",
                beyond.len(),
                first.id,
                first.lsn,
                first.node
            ));
        }
    }
    broken
}

/// The bound on loss is promised while nobody acts against the agents, and is known while nobody changes it.
fn bounds_loss(plan: &Plan) -> bool {
    !plan.acts().any(|act| {
        let configures = matches!(act, Act::Operator(OperatorAct::PatchConfig { .. }));
        act.ends_free_run() || configures
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist::testbed::Stamp;
    use tanist::testbed::checker::Acknowledged;
    use tanist_sim::scenario::parse::parse;

    fn name(name: &str) -> MemberName {
        MemberName::from(name)
    }

    fn lost_at(lsn: u64) -> Rows {
        let row = Acknowledged {
            id: 7,
            node: "a".into(),
            timeline: 1,
            lsn,
            acked: Stamp(0),
        };
        Rows {
            lost: vec![row],
            ..Rows::default()
        }
    }

    #[test]
    fn what_the_old_leader_published_last_bounds_the_loss() {
        let mut published = Published::default();
        for (status, owner) in [
            (Some(100), Some("a")),
            (Some(500), Some("a")),
            (None, None),
            (Some(500), None),
            (Some(490), Some("b")),
            (Some(900), Some("b")),
            (Some(900), Some("a")),
        ] {
            published.look(status, owner.map(name).as_ref());
        }
        assert_eq!(published.at_handover(), Some(500));
    }

    #[test]
    fn a_row_that_nobody_may_lose_breaks_a_promise() {
        let story = |act: &str| {
            let text = format!(
                "# Is it kept?\ncluster a b  dcs 1  ttl 30s  loop 10s  retry 10s  mode async\n\
                 with  lag 100B\nat 30s  {act}\nat 2m   end\n"
            );
            parse(&text).unwrap()
        };
        let broken = |act: &str, lsn, published: &Published| {
            let rows = lost_at(lsn);
            broken_promises(&story(act), &Journal::default(), Some(&rows), published).len()
        };
        let never_handed_over = Published::default();
        let mut handed_over = Published::default();
        handed_over.look(Some(500), Some(&name("a")));
        handed_over.look(Some(500), Some(&name("b")));
        assert_eq!(broken("kill postgres on a", 450, &never_handed_over), 1);
        assert_eq!(broken("kill postgres on a", 450, &handed_over), 0);
        assert_eq!(broken("kill postgres on a", 399, &handed_over), 1);
        assert_eq!(broken("promote b by hand", 399, &handed_over), 0);
    }
}
