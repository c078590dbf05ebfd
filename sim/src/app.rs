//! The application: numbered commits, who acknowledged them, and which of them a later leader lacks.
//! Clients that roam ask REST who is primary, as a load balancer does; stubborn ones write to their member,
//! whoever leads. Knows nothing of the store.

use crate::due::{AppDue, Due};
use crate::event::What;
use crate::marks::Mark;
use crate::moment::Moment;
use crate::pg::instance::Committer;
use crate::pg::wal::{BranchId, CommitId};
use crate::shape::ClientShape;
use crate::truth::Commits;
use crate::wire::{Hop, Node, Seat, Traffic};
use crate::world::World;
use tanist_core::time::Span;
use tanist_core::timeline::TimelineId;

/// How often a load balancer asks each member whether it is the primary.
const CHECK_EVERY: Span = Span::secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    On,
    Off,
}

#[derive(Clone, Debug)]
pub struct App {
    pub load: Load,
    pub pace: ClientShape,
    next: u64,
    acked: Vec<CommitId>,
    lost: u64,
    /// Whose WAL decides what is lost: the member that was promoted last, and its branch.
    lineage: Option<(Seat, BranchId)>,
    /// Where roaming clients go, as the latest check said.
    target: Option<Seat>,
    checked_at: Option<Moment>,
}

impl App {
    pub fn new(pace: ClientShape) -> App {
        App {
            load: Load::On,
            pace,
            next: 0,
            acked: Vec::new(),
            lost: 0,
            lineage: None,
            target: None,
            checked_at: None,
        }
    }

    pub fn next_commit(&mut self) -> CommitId {
        self.next += 1;
        CommitId(self.next)
    }

    pub fn is_acked(&self, commit: CommitId) -> bool {
        self.acked.contains(&commit)
    }

    pub fn commits(&self, written: u64) -> Commits {
        Commits {
            written,
            acked: self.acked.len() as u64,
            lost: self.lost,
        }
    }
}

impl World {
    pub(crate) fn start_clients(&mut self) {
        let pace = self.app.pace;
        if pace.roaming_every > Span::ZERO {
            self.app_due(pace.roaming_every, AppDue::Roam);
        }
        if pace.stubborn_every > Span::ZERO {
            for at in 0..self.pgs.len() as u8 {
                self.app_due(pace.stubborn_every, AppDue::Pinned(Seat(at)));
            }
        }
    }

    /// Clients do not tick in step: each waits its pace, give or take a quarter.
    fn app_due(&mut self, every: Span, due: AppDue) {
        let wait = self.chance.app.span(
            every.saturating_sub(every.divided_by(4)),
            every + every.divided_by(4),
        );
        self.agenda.enter(self.agenda.now() + wait, Due::App(due));
    }

    pub(crate) fn client_acts(&mut self, due: AppDue) {
        let pace = self.app.pace;
        let on = self.app.load == Load::On;
        match due {
            AppDue::Roam if pace.roaming_every > Span::ZERO => {
                if on {
                    self.roam();
                }
                self.app_due(pace.roaming_every, due);
            }
            AppDue::Pinned(seat) if pace.stubborn_every > Span::ZERO => {
                if on && self.clients_reach(seat) {
                    self.commit(seat, Committer::Pinned);
                }
                self.app_due(pace.stubborn_every, due);
            }
            AppDue::Roam | AppDue::Pinned(_) => {}
        }
    }

    fn roam(&mut self) {
        let now = self.now();
        let fresh = self
            .app
            .checked_at
            .is_some_and(|at| now.since(at) < CHECK_EVERY);
        if !fresh {
            let seats = (0..self.pgs.len() as u8).map(Seat);
            let primaries: Vec<Seat> = seats
                .filter(|seat| self.clients_reach(*seat) && self.says_primary(*seat))
                .collect();
            self.app.target = self.chance.app.pick(&primaries).copied();
            self.app.checked_at = Some(now);
        }
        if let Some(seat) = self.app.target.filter(|seat| self.clients_reach(*seat)) {
            self.commit(seat, Committer::Roaming);
        }
    }

    fn clients_reach(&self, seat: Seat) -> bool {
        let hop = Hop {
            from: Node::Clients,
            to: Node::Member(seat),
            traffic: Traffic::Client,
        };
        self.powered(seat) && self.wire.is_open(hop)
    }

    /// A client was told that its commit is safe.
    pub(crate) fn acked(&mut self, commit: CommitId, seat: Seat, timeline: TimelineId) {
        self.app.acked.push(commit);
        let kept = match self.app.lineage {
            None => true,
            Some((leader, _)) => self
                .wal
                .has_commit(commit, self.pgs[leader.index()].dir.wal),
        };
        if !kept {
            self.app.lost += 1;
            self.mark(Mark::AckedCommitLost);
        }
        if self.tells_commits {
            let member = self.name(seat);
            self.tell_story(What::Acked {
                commit: commit.0,
                member,
                timeline,
            });
        }
    }

    /// `seat` was promoted: which acknowledged commits are not in its WAL?
    pub(crate) fn count_lost(&mut self, seat: Seat) {
        let end = self.pgs[seat.index()].dir.wal;
        self.app.lineage = Some((seat, end.branch));
        let lost = self
            .app
            .acked
            .iter()
            .filter(|id| !self.wal.has_commit(**id, end))
            .count();
        let newly = (lost as u64).saturating_sub(self.app.lost);
        self.app.lost = lost as u64;
        if newly > 0 {
            self.mark(Mark::AckedCommitLost);
            let leader = self.name(seat);
            self.tell_story(What::Lost {
                commits: newly,
                leader,
            });
        }
    }
}
