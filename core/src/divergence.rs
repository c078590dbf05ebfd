//! Has this member's WAL left the leader's, where, and may `pg_rewind` be trusted with it? The leader's own word and the
//! record of promotions come in, a verdict goes out; what is done about it is `rejoin.rs`'s.
//!
//! Why this is subtle: numbers of timelines are given away twice where two promotions never hear of each other, and a
//! promotion that died half-way has opened a timeline that the control file does not name.

use crate::agent::Agent;
use crate::cluster::LeaderKey;
use crate::local::Server;
use crate::lsn::Lsn;
use crate::name::{MemberName, Term};
use crate::postgres::{ControlData, CopyId, UpstreamFacts};
use crate::rejoin::{ASK_PAUSE, FACTS_AGE_MAX};
use crate::time::Now;
use crate::timeline::{Divergence, Fork, TimelineHistory, TimelineId};
use serde::{Deserialize, Serialize};

/// A finished check: against whom, and what came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub leader: MemberName,
    pub term: Term,
    pub timeline: TimelineId,
    /// The copy of the data that the leader had when it was asked: what it has since may be another's.
    #[serde(default)]
    pub copy: Option<CopyId>,
    /// The timeline that this member's own WAL had reached.
    #[serde(default)]
    pub mine: Option<TimelineId>,
    pub divergence: Divergence,
}

/// How WAL that ends at `end` on `branch` relates to the leader's, promotions of the same number included: `clash` is
/// the number that two members gave away from the same position, as the record tells, `foreign` a number whose WAL is
/// not the leader's by its own bytes. Past a fork the bytes differ in any case, so there only the record counts.
pub fn assess(
    branch: &TimelineHistory,
    end: Lsn,
    leader: &TimelineHistory,
    clash: Option<TimelineId>,
    foreign: Option<TimelineId>,
) -> Divergence {
    let divergence = branch.divergence_from(end, leader);
    let clash = match divergence {
        Divergence::None => clash.or(foreign),
        // Both branches go through a timeline of that number, and what they have under it differs from its start on.
        Divergence::Forked { from, .. } => clash.filter(|number| *number <= from),
        Divergence::Ahead { .. } => None,
    };
    match clash {
        Some(from) => Divergence::Forked {
            from,
            at: Lsn::INVALID,
        },
        None => divergence,
    }
}

impl Agent {
    /// The check stands as long as leader, term, the leader's timeline and its copy of the data are the same. That WAL has
    /// left the leader's is over, too, when its own server has found the way to another timeline, by an archive perhaps; that
    /// it has not, when it is on a newer one than the leader's.
    pub fn valid_check(&self, leader: &LeaderKey) -> Option<&Checked> {
        let checked = self.rejoin.checked.as_ref()?;
        let member = self.store.cluster.as_ref()?.members.get(&leader.owner)?;
        let published = member.timeline_id();
        let same = checked.leader == leader.owner
            && checked.term == leader.term
            && checked.copy.as_ref().map(|copy| copy.0.as_str()) == member.copy_text()
            && published.is_none_or(|t| t <= checked.timeline);
        (same && !self.has_moved_on(checked)).then_some(checked)
    }

    fn has_moved_on(&self, checked: &Checked) -> bool {
        let branch = || self.local.branch().map(|branch| branch.timeline);
        match checked.divergence {
            // It opened a timeline past the leader's: by hand, and perhaps not to the end.
            Divergence::None => branch().is_some_and(|mine| mine > checked.timeline),
            Divergence::Forked { .. } | Divergence::Ahead { .. } => {
                branch().is_some_and(|mine| Some(mine) > checked.mine)
            }
        }
    }

    /// What the leader said, and what follows from it for this member's WAL.
    pub fn leader_said(&mut self, now: Now, facts: UpstreamFacts) {
        self.rejoin.last_refusal = None;
        self.rejoin.ask_at = now.mono + ASK_PAUSE;
        let Some(leader) = self.store.leader().cloned() else {
            return;
        };
        if facts.member != leader.owner || !self.knows_its_end(now) {
            return;
        }
        let asked = self.rejoin.asked.take();
        let Some(asked) = asked.filter(|a| a.leader == leader.owner && a.term == leader.term)
        else {
            return;
        };
        if facts.in_recovery {
            self.rejoin.last_refusal = Some("it has not been promoted yet".into());
            // What it said as a primary is over.
            self.rejoin.facts = None;
            return;
        }
        // What is to be thrown away is compared with nothing.
        if self.rejoin.reinit {
            self.rejoin.facts = Some((now.mono, facts));
            return;
        }
        if self
            .local
            .system_id()
            .is_some_and(|mine| *mine != facts.system_id)
        {
            self.rejoin.last_refusal = Some(format!(
                "it has another system identifier ({})",
                facts.system_id.0
            ));
            return;
        }
        if let (Some(branch), Some(end)) = (self.local.branch(), self.local.wal_end()) {
            if self.awaits_history(&branch, &facts.history) {
                self.rejoin.last_refusal = Some("its history is not in the store yet".into());
                return;
            }
            let foreign = (facts.same_wal == Some(false)).then_some(branch.timeline);
            // The leader's very bytes, from where the timeline begins: I was fed them since, whoever else opened one of
            // that number.
            let fed = |number| facts.same_wal == Some(true) && number == branch.timeline;
            let clash = self.clash_with(&branch, &facts.history);
            let clash = clash.or_else(|| self.line_of_another(&facts.history));
            let clash = clash.filter(|number| !fed(*number));
            let divergence = assess(&branch, end, &facts.history, clash, foreign);
            self.rejoin.checked = Some(Checked {
                leader: leader.owner,
                term: leader.term,
                timeline: facts.history.timeline,
                copy: asked.copy,
                mine: Some(branch.timeline),
                divergence,
            });
        }
        self.rejoin.facts = Some((now.mono, facts));
    }

    /// I opened the timeline that I am on. Whether the leader's of that number is mine, only the record tells, which a
    /// leader writes right after its promotion.
    fn awaits_history(&self, branch: &TimelineHistory, leader: &TimelineHistory) -> bool {
        let mut marks = self.local.observed.iter().flat_map(|o| &o.promoted);
        let mine = marks.any(|mark| mark.timeline == branch.timeline);
        let cluster = self.store.cluster.as_ref();
        let rows = cluster.and_then(|c| c.history.as_ref());
        let newest = rows
            .and_then(|h| h.rows.last())
            .map(|r| (r.timeline, r.end));
        let fork = leader.forks.last().map(|f| (f.parent, f.end));
        mine && leader.timeline > branch.timeline && newest != fork
    }

    /// I promoted to this very timeline, and somebody else did so, too: the leader is on a timeline of this number,
    /// which it can only have opened itself, or the record names another member. Where both forked from the same
    /// position, nothing else tells the two apart.
    fn clash_with(&self, branch: &TimelineHistory, leader: &TimelineHistory) -> Option<TimelineId> {
        let observed = self.local.observed.as_ref()?;
        // A promotion of mine that died half-way: started, the server would go on there, where nobody else is. One that
        // left no history file of its number has opened nothing; what is newer than my WAL came from an upstream.
        let newest = observed.history.timeline;
        let mut marks = observed.promoted.iter();
        let half = |number| number > branch.timeline && number <= newest;
        if marks.any(|mark| half(mark.timeline)) {
            return Some(newest);
        }
        let opened = |timeline| observed.promoted.iter().any(|m| m.timeline == timeline);
        // A promotion that died half-way has written its history file and perhaps some WAL, and the control file does
        // not name the timeline yet: the server would go on there.
        let knows = observed.history.timeline >= leader.timeline;
        if opened(leader.timeline) && (knows || leader.timeline == branch.timeline) {
            return Some(leader.timeline);
        }
        // A number that the leader's line has left out, or has passed without writing under it, is nobody's but mine.
        let other = self.number_of_another(branch.timeline);
        let of_line = leader.holds_wal_of(branch.timeline);
        other.filter(|_| of_line).map(|_| branch.timeline)
    }

    /// A timeline that the leader's line went through, and that left another place by a history that is here: of a promotion
    /// by hand that died, perhaps. PostgreSQL takes no other history of that number from its upstream.
    fn line_of_another(&self, leader: &TimelineHistory) -> Option<TimelineId> {
        let fork = |fork: &Fork| (fork.parent, fork.end);
        let forks = |line: &TimelineHistory| line.forks.iter().map(fork).collect::<Vec<_>>();
        let mut lines = self.local.observed.iter().flat_map(|o| o.lines());
        let another = lines.find(|line| {
            let number = line.timeline;
            let read = !line.forks.is_empty();
            read && leader.contains(number) && forks(line) != forks(&leader.up_to(number))
        });
        another.map(|line| line.timeline)
    }

    /// Who opened the cluster's timeline of this number, where I opened one of my own.
    pub fn number_of_another(&self, timeline: TimelineId) -> Option<MemberName> {
        let mut marks = self.local.observed.iter().flat_map(|o| &o.promoted);
        let mine = marks.any(|mark| mark.timeline == timeline);
        let recorded = self.store.cluster.as_ref()?.history.as_ref()?;
        let opener = recorded.promoter_of(timeline)?;
        (mine && *opener != self.settings.name).then(|| opener.clone())
    }

    /// `pg_rewind` (before 16) knows its target's history up to the control file's timeline. Of one that a promotion
    /// opened before it died half-way it sees nothing, and may take the two to part later than they do.
    pub fn rewind_sees(&self, control: &ControlData, divergence: Divergence) -> bool {
        let (branch, end) = (self.local.branch(), self.local.wal_end());
        let (Some(branch), Some(end), Some((_, facts))) = (branch, end, &self.rejoin.facts) else {
            return true;
        };
        if branch.timeline <= control.timeline {
            return true;
        }
        let seen = branch.up_to(control.timeline);
        let seen = match seen.divergence_from(end, &facts.history) {
            Divergence::None => end,
            Divergence::Forked { at, .. } | Divergence::Ahead { at, .. } => at,
        };
        let parted = match divergence {
            Divergence::None => end,
            // Two timelines of one number, opened at one position.
            Divergence::Forked {
                from,
                at: Lsn::INVALID,
            } => branch.start_of(from),
            Divergence::Forked { at, .. } | Divergence::Ahead { at, .. } => at,
        };
        seen <= parted
    }

    /// The last look is new enough to compare with the leader, and a server that runs has told where it is.
    pub fn knows_its_end(&self, now: Now) -> bool {
        self.has_looked(now) && self.tells_its_end()
    }

    /// A former upstream may have gone on sending after an older look: what it sent last is what has to be compared.
    pub fn has_looked(&self, now: Now) -> bool {
        let new = |at| at >= self.store.leader_since && now.mono.since(at) < FACTS_AGE_MAX;
        self.local.looked_at.is_some_and(new)
    }

    /// What a server has that runs and does not answer is known to nobody. What is to be thrown away need not be known.
    fn tells_its_end(&self) -> bool {
        let tells = self.local.is_answering() || self.local.server() == Server::Down;
        tells || self.rejoin.reinit
    }
}
