//! Holds the deadline: what a fencer is armed for, and whether it obeys a request to arm, extend or disarm.
//! Knows nothing of processes: whether any is left is handed in.
//!
//! Disarming needs proof. `NoBackendCanWrite` stands only if no process of the instance is left at all.
//! A standby that was never promoted could not write either, but nothing in /proc proves that cheaply
//! and for good: `standby.signal` is on a disk, process titles can be switched off, imitated by a
//! user's name, and a promotion may be under way. So a standby that was armed for a promotion which
//! was then given up must be stopped, or kept armed and extended, or its tenure ends by the deadline.

use tanist_core::fencer::{Armed, DisarmReason, FencerRequest};
use tanist_core::name::Term;
use tanist_core::time::Mono;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline {
    armed: Option<Armed>,
    paused: Option<Term>,
}

/// What is left of the instance, as far as disarming depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    Processes(usize),
    /// The process table could not be read: somebody may be left.
    Unknown,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Left::Nothing => f.write_str("no process of the instance is left"),
            Left::Processes(count) => write!(f, "{count} processes of the instance are left"),
            Left::Unknown => f.write_str(
                "the process table cannot be read, so processes of the instance may be left",
            ),
        }
    }
}

impl Deadline {
    pub fn armed(&self) -> Option<Armed> {
        self.armed
    }

    /// The tenure that was disarmed for pause, until it is armed again.
    pub fn paused(&self) -> Option<Term> {
        self.paused
    }

    /// Has it passed?
    pub fn passed(&self, now: Mono) -> Option<Armed> {
        self.armed.filter(|armed| armed.until <= now)
    }

    /// PostgreSQL was ended because of it: it is used up.
    pub fn used_up(&mut self) {
        self.armed = None;
    }

    /// Obeys or says why not. `left` is asked only where the verdict depends on it.
    pub fn obey(
        &mut self,
        request: FencerRequest,
        left: impl FnOnce() -> Left,
    ) -> Result<(), String> {
        match request {
            FencerRequest::Arm { term, lease, until } => self.arm(Armed { term, lease, until }),
            FencerRequest::Extend { term, until } => self.extend(term, until),
            FencerRequest::Disarm { term, why } => self.disarm(term, why, left),
        }
    }

    fn arm(&mut self, wanted: Armed) -> Result<(), String> {
        let until = match self.armed {
            // A later tenure has the higher term, unless the store was wiped and counts anew: then its lease is another
            // one and its deadline, on this host's own clock, lies beyond the one that is held.
            Some(held) if held.term > wanted.term && !is_of_new_store(&held, &wanted) => {
                return Err(format!(
                    "armed for the later tenure {}, not for {}",
                    held.term, wanted.term
                ));
            }
            // A repeated arming is an extension, and an extension never goes backwards.
            Some(held) if held.term == wanted.term => Mono(held.until.0.max(wanted.until.0)),
            Some(_) | None => wanted.until,
        };
        self.armed = Some(Armed { until, ..wanted });
        self.paused = None;
        Ok(())
    }

    fn extend(&mut self, term: Term, until: Mono) -> Result<(), String> {
        let Some(held) = &mut self.armed else {
            return Err(format!("not armed, so tenure {term} cannot be extended"));
        };
        if held.term != term {
            return Err(format!("armed for tenure {}, not for {term}", held.term));
        }
        held.until = Mono(held.until.0.max(until.0));
        Ok(())
    }

    fn disarm(
        &mut self,
        term: Term,
        why: DisarmReason,
        left: impl FnOnce() -> Left,
    ) -> Result<(), String> {
        let Some(held) = self.armed else {
            return Ok(());
        };
        if held.term != term {
            return Err(format!("armed for tenure {}, not for {term}", held.term));
        }
        match why {
            DisarmReason::Pause => self.paused = Some(term),
            DisarmReason::NoBackendCanWrite => match left() {
                Left::Nothing => {}
                left @ (Left::Processes(_) | Left::Unknown) => {
                    return Err(format!("{left}, and a living one may write"));
                }
            },
        }
        self.armed = None;
        Ok(())
    }
}

fn is_of_new_store(held: &Armed, wanted: &Armed) -> bool {
    held.lease != wanted.lease && wanted.until > held.until
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::dcs::LeaseId;

    fn arm(term: i64, until: u64) -> FencerRequest {
        FencerRequest::Arm {
            term: Term(term),
            lease: LeaseId::default(),
            until: Mono(until),
        }
    }

    fn extend(term: i64, until: u64) -> FencerRequest {
        FencerRequest::Extend {
            term: Term(term),
            until: Mono(until),
        }
    }

    fn disarm(term: i64, why: DisarmReason) -> FencerRequest {
        FencerRequest::Disarm {
            term: Term(term),
            why,
        }
    }

    const LIVING: Left = Left::Processes(3);

    /// Plays `requests` in order; the last one's verdict and the deadline that stands after it.
    fn check(requests: &[FencerRequest], left: Left, obeyed: bool, until: Option<u64>) {
        let mut deadline = Deadline::default();
        let mut verdict = Ok(());
        for request in requests {
            verdict = deadline.obey(*request, || left);
        }
        assert_eq!(verdict.is_ok(), obeyed, "{requests:?}: {verdict:?}");
        assert_eq!(deadline.armed().map(|a| a.until), until.map(Mono));
    }

    #[test]
    fn an_extension_moves_the_deadline_and_never_backwards() {
        check(&[arm(1, 100), extend(1, 200)], LIVING, true, Some(200));
        check(&[arm(1, 100), extend(1, 50)], LIVING, true, Some(100));
        check(&[arm(1, 100), arm(1, 50)], LIVING, true, Some(100));
    }

    #[test]
    fn another_tenure_extends_nothing_and_an_older_one_arms_nothing() {
        check(&[arm(2, 100), extend(1, 200)], LIVING, false, Some(100));
        check(&[arm(2, 100), extend(3, 200)], LIVING, false, Some(100));
        check(&[arm(2, 100), arm(1, 200)], LIVING, false, Some(100));
        check(&[extend(1, 200)], LIVING, false, None);
    }

    #[test]
    fn a_later_tenure_brings_its_own_deadline() {
        check(&[arm(1, 100), arm(2, 60)], LIVING, true, Some(60));
    }

    #[test]
    fn a_wiped_store_counts_its_terms_anew() {
        let anew = |until| FencerRequest::Arm {
            term: Term(1),
            lease: LeaseId(77),
            until: Mono(until),
        };
        check(&[arm(9, 100), anew(200)], LIVING, true, Some(200));
        // Late words of an earlier tenure never have the later deadline.
        check(&[arm(9, 100), anew(90)], LIVING, false, Some(100));
    }

    #[test]
    fn disarming_without_proof_is_refused() {
        let proof = DisarmReason::NoBackendCanWrite;
        check(&[arm(1, 100), disarm(1, proof)], LIVING, false, Some(100));
        check(
            &[arm(1, 100), disarm(1, proof)],
            Left::Unknown,
            false,
            Some(100),
        );
        check(&[arm(1, 100), disarm(1, proof)], Left::Nothing, true, None);
        check(
            &[arm(2, 100), disarm(1, proof)],
            Left::Nothing,
            false,
            Some(100),
        );
    }

    #[test]
    fn pause_disarms_a_living_instance_and_is_remembered_until_armed_again() {
        let mut deadline = Deadline::default();
        deadline.obey(arm(4, 100), || LIVING).unwrap();
        deadline
            .obey(disarm(4, DisarmReason::Pause), || LIVING)
            .unwrap();
        assert_eq!((deadline.armed(), deadline.paused()), (None, Some(Term(4))));
        deadline.obey(arm(4, 200), || LIVING).unwrap();
        assert_eq!(deadline.paused(), None);
    }

    #[test]
    fn the_deadline_itself_is_already_too_late() {
        let mut deadline = Deadline::default();
        deadline.obey(arm(1, 100), || LIVING).unwrap();
        assert_eq!(deadline.passed(Mono(99)), None);
        assert!(deadline.passed(Mono(100)).is_some());
    }
}
