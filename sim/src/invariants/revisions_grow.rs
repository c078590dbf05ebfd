//! S05: the revision of the store that a process decides from never goes back. A view that jumps back, as
//! stale members and re-listed watches offer it, would undo what was decided since. Rests on A3: a store
//! that was rolled back has other revisions.

use super::Invariant;
use super::assumptions::Assumption;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::dcs::Revision;

impl World {
    /// `seat` acts on what it knows: which revision was that?
    pub(crate) fn check_revisions_grow(&mut self, seat: Seat) {
        let now = self.now();
        if !self.oracle.assumptions.hold(&[Assumption::Store]) {
            return self.oracle.set_aside(Invariant::RevisionsGrow);
        }
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        let life = agent.life;
        let Some(revision) = agent.agent.tanist().and_then(|agent| agent.decides_from()) else {
            return;
        };
        let before = self
            .oracle
            .evidence
            .decided_from
            .insert(seat, (life, revision));
        let before = before
            .filter(|(of, _)| *of == life)
            .map_or(Revision(0), |(_, seen)| seen);
        let verdict = match revision >= before {
            true => Ok(()),
            false => Err(format!(
                "{} acts on revision {} after it had seen {}",
                self.name(seat),
                revision.0,
                before.0
            )),
        };
        self.oracle.judge(Invariant::RevisionsGrow, now, verdict);
    }
}
