//! L10: every automatic decision can be explained from what was recorded: whatever an agent does to its data directory,
//! and each time it asks for the leader key, it has said so before, with the reason, in its own words. What it rejected and
//! why is in the same notes, and S29 plays them again.

use super::Invariant;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::agent::Output;
use tanist_core::dcs::DcsRequest;
use tanist_core::decision::Decision;
use tanist_core::effect::{Effect, EffectBody};
use tanist_core::note::Note;
use tanist_core::postgres::Operation;

impl World {
    pub(crate) fn check_explained(&mut self, seat: Seat, life: u32, out: &Output) {
        self.check_begun(seat, out);
        let decided = |note: &Note| matches!(note, Note::Decided(_));
        let acts = out.effects.iter().any(|effect| deed_of(effect).is_some());
        if !acts && !out.notes.iter().any(decided) {
            return;
        }
        // What it said before stays said until it says otherwise; it may do several things at once.
        let before = self.oracle.evidence.decided.remove(&seat);
        let mut said: Vec<Decision> = before
            .into_iter()
            .filter(|(of, _)| *of == life)
            .map(|(_, decision)| decision)
            .collect();
        said.extend(out.notes.iter().filter_map(|note| match note {
            Note::Decided(decision) => Some(decision.clone()),
            _other => None,
        }));
        for effect in &out.effects {
            if let Some(deed) = deed_of(effect) {
                self.judge_explained(seat, deed, said.iter().any(|said| explains(said, effect)));
            }
        }
        if let Some(latest) = said.pop() {
            let latest = (life, latest);
            self.oracle.evidence.decided.insert(seat, latest);
        }
    }

    fn judge_explained(&mut self, seat: Seat, deed: &str, explained: bool) {
        let verdict = match explained {
            true => Ok(()),
            false => Err(format!("{}: {deed}, without a word", self.name(seat))),
        };
        let now = self.now();
        self.oracle.judge(Invariant::Explained, now, verdict);
    }
}

/// What has to be explained; `None`: nothing has.
fn deed_of(effect: &Effect) -> Option<&'static str> {
    match &effect.body {
        EffectBody::Operation { operation, .. } => Some(operation.verb()),
        EffectBody::Dcs {
            request: DcsRequest::Acquire { .. },
            ..
        } => Some("acquire"),
        _other => None,
    }
}

/// Is this the decision behind it?
fn explains(said: &Decision, effect: &Effect) -> bool {
    let EffectBody::Operation { operation, .. } = &effect.body else {
        return matches!(said, Decision::Acquire { .. });
    };
    match operation {
        Operation::Initdb => matches!(said, Decision::Initdb),
        Operation::PostBootstrap => matches!(said, Decision::PostBootstrap),
        Operation::Clone { .. } => matches!(said, Decision::Clone { .. }),
        Operation::Start { .. } => matches!(said, Decision::Start { .. }),
        Operation::Stop { .. } => matches!(said, Decision::Stop { .. }),
        Operation::Promote { .. } => matches!(said, Decision::Promote { .. }),
        Operation::CrashRecovery => matches!(said, Decision::CrashRecovery),
        Operation::Rewind { .. } => matches!(said, Decision::Rewind { .. }),
        Operation::DiscardData { .. } => matches!(said, Decision::Discard { .. }),
    }
}
