//! The fencer's process: what it is armed for, when it fires, and how its agent hears of it.
//! Obeys as the real one does: never for an earlier tenure, never backwards, disarmed only with proof.

use crate::due::{AgentDue, Due, FencerDue, HostDue};
use crate::event::What;
use crate::host::{FencerProcess, Power, Run};
use crate::marks::Mark;
use crate::shape::Runs;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::fencer::{Armed, DisarmReason, FencerInput, FencerRequest};
use tanist_core::input::Input;
use tanist_core::name::{OpId, Term};
use tanist_core::settings::FencerMode;
use tanist_core::time::{Mono, Span};

/// What its immediate stop leaves is killed after this long.
const KILL_AFTER: Span = Span::millis(300);

impl World {
    /// An agent at its start finds a living fencer, or has one started.
    pub(crate) fn meet_fencer(&mut self, seat: Seat) {
        if self.shape.fencer == FencerMode::Off {
            return;
        }
        let takes = self.chance.host.span(Span::millis(1), Span::millis(5));
        match &self.hosts[seat.index()].fencer {
            Some(fencer) => {
                let armed = fencer.armed;
                self.say_to_agent(seat, takes, FencerInput::Ready { armed });
            }
            None => self.host_due(seat, takes.times(10), HostDue::StartFencer),
        }
    }

    pub(crate) fn start_fencer(&mut self, seat: Seat) {
        let host = &mut self.hosts[seat.index()];
        // Its parent is the agent: without one that runs nobody starts it. A Patroni has none.
        let patroni = host.runs == Runs::Patroni;
        if host.power == Power::Off || host.fencer.is_some() || !host.agent_runs() || patroni {
            return;
        }
        host.fencer_lives += 1;
        let is_another = host.fencer_lives > 1;
        host.fencer = Some(FencerProcess {
            life: host.fencer_lives,
            run: Run::Running,
            armed: None,
            timer: None,
            firing: false,
            parked: Vec::new(),
        });
        let member = self.name(seat);
        self.tell_story(What::FencerStarted { member });
        if is_another {
            self.mark(Mark::FencerReplaced);
        }
        self.say_to_agent(seat, Span::millis(1), FencerInput::Ready { armed: None });
    }

    pub(crate) fn say_to_agent(&mut self, seat: Seat, after: Span, input: FencerInput) {
        self.agent_due(seat, after, AgentDue::Tell(Box::new(Input::Fencer(input))));
    }

    pub(crate) fn kill_fencer(&mut self, seat: Seat) {
        if self.hosts[seat.index()].fencer.take().is_none() {
            return;
        }
        let member = self.name(seat);
        self.tell_story(What::FencerDied { member });
        let why = "its process ended".to_string();
        self.say_to_agent(seat, Span::millis(1), FencerInput::Lost { why });
        self.replace_fencer(seat);
    }

    /// An agent that was frozen while its fencer died finds that out when it goes on.
    pub(crate) fn replace_fencer(&mut self, seat: Seat) {
        let host = &self.hosts[seat.index()];
        if host.fencer.is_none() && self.shape.fencer != FencerMode::Off {
            let again = self.chance.host.span(Span::millis(20), Span::millis(300));
            self.host_due(seat, again, HostDue::StartFencer);
        }
    }

    pub(crate) fn freeze_fencer(&mut self, seat: Seat) {
        if let Some(fencer) = self.hosts[seat.index()].fencer.as_mut() {
            fencer.run = Run::Frozen;
        }
    }

    /// Its deadline comes before whatever it was asked meanwhile.
    pub(crate) fn thaw_fencer(&mut self, seat: Seat) {
        let Some(fencer) = self.hosts[seat.index()].fencer.as_mut() else {
            return;
        };
        fencer.run = Run::Running;
        let parked = std::mem::take(&mut fencer.parked);
        self.deadline_comes(seat);
        let now = self.now();
        for due in parked {
            self.agenda.enter(now, due);
        }
    }

    pub(crate) fn ask_fencer(&mut self, seat: Seat, op: OpId, request: FencerRequest) {
        let takes = self.chance.host.span(Span::micros(50), Span::micros(400));
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        let from_life = agent.life;
        let at = self.now() + takes;
        match &self.hosts[seat.index()].fencer {
            Some(fencer) => {
                let due = FencerDue::Request {
                    from_life,
                    op,
                    request,
                };
                let life = fencer.life;
                self.agenda.enter(at, Due::Fencer { seat, life, due });
            }
            None => {
                let why = "no fencer runs".to_string();
                self.say_to_agent(seat, takes, FencerInput::Refused { op, why });
            }
        }
    }

    pub(crate) fn fencer_asked(
        &mut self,
        seat: Seat,
        from_life: u32,
        op: OpId,
        request: FencerRequest,
    ) {
        let left = self.pgs[seat.index()].server.is_some();
        let skips = self.sabotage.skips_arming(&request);
        let Some(fencer) = self.hosts[seat.index()].fencer.as_mut() else {
            return;
        };
        let verdict = if skips {
            Ok(())
        } else {
            obey(&mut fencer.armed, request, left)
        };
        let answer = match verdict {
            Ok(()) => FencerInput::Acknowledged { op },
            Err(why) => FencerInput::Refused { op, why },
        };
        self.schedule_deadline(seat);
        if self.hosts[seat.index()].life(from_life).is_some() {
            let takes = self.chance.host.span(Span::micros(50), Span::micros(400));
            self.say_to_agent(seat, takes, answer);
        }
    }

    fn schedule_deadline(&mut self, seat: Seat) {
        let host = &mut self.hosts[seat.index()];
        let Some(fencer) = host.fencer.as_mut() else {
            return;
        };
        let Some(armed) = fencer.armed else {
            return;
        };
        if fencer.timer.is_some_and(|at| at <= armed.until) {
            return;
        }
        fencer.timer = Some(armed.until);
        let (life, at) = (fencer.life, host.clock.when(armed.until));
        self.agenda.enter(
            at,
            Due::Fencer {
                seat,
                life,
                due: FencerDue::Deadline,
            },
        );
    }

    pub(crate) fn deadline_comes(&mut self, seat: Seat) {
        let now = self.host_now(seat).mono;
        let Some(fencer) = self.hosts[seat.index()].fencer.as_mut() else {
            return;
        };
        fencer.timer = None;
        match fencer.armed {
            Some(_) if fencer.firing => {}
            Some(armed) if armed.until <= now => self.fire(seat, armed, now),
            Some(_) => self.schedule_deadline(seat),
            None => {}
        }
    }

    fn fire(&mut self, seat: Seat, armed: Armed, at: Mono) {
        let has_server = self.pgs[seat.index()].server.is_some();
        let Some(fencer) = self.hosts[seat.index()].fencer.as_mut() else {
            return;
        };
        fencer.armed = None;
        fencer.firing = has_server;
        let life = fencer.life;
        let member = self.name(seat);
        self.tell_story(What::FencerFired { member });
        if has_server {
            self.mark(Mark::FencerFired);
            self.quit_all(seat);
            let due = FencerDue::KillAll;
            let at = self.now() + KILL_AFTER;
            self.agenda.enter(at, Due::Fencer { seat, life, due });
        }
        let fired = FencerInput::Fired {
            at,
            term: armed.term,
        };
        self.say_to_agent(seat, Span::millis(1), fired);
    }

    /// Until none is left.
    pub(crate) fn fencer_kills(&mut self, seat: Seat) {
        let left = self.pgs[seat.index()].server.is_some();
        let Some(fencer) = self.hosts[seat.index()].fencer.as_mut() else {
            return;
        };
        fencer.firing = left;
        if left {
            let life = fencer.life;
            self.kill_all(seat);
            let at = self.now() + Span::millis(50);
            self.agenda.enter(
                at,
                Due::Fencer {
                    seat,
                    life,
                    due: FencerDue::KillAll,
                },
            );
        } else {
            // It may have been armed meanwhile, for a deadline that has passed, too.
            self.deadline_comes(seat);
        }
    }
}

/// The fencer's rule: obeys, or says why not.
fn obey(armed: &mut Option<Armed>, request: FencerRequest, left: bool) -> Result<(), String> {
    let wrong = |held: Term, term: Term| Err(format!("armed for tenure {held}, not for {term}"));
    match (request, *armed) {
        // A store that was wiped counts its terms anew: then the lease is another one, and the deadline a later one.
        (FencerRequest::Arm { term, lease, until }, Some(held))
            if held.term > term && (held.lease == lease || held.until >= until) =>
        {
            wrong(held.term, term)
        }
        (FencerRequest::Arm { term, lease, until }, held) => {
            let before = held
                .filter(|held| held.term == term)
                .map_or(Mono(0), |held| held.until);
            *armed = Some(Armed {
                term,
                lease,
                until: Ord::max(before, until),
            });
            Ok(())
        }
        (FencerRequest::Extend { term, until }, Some(held)) if held.term == term => {
            *armed = Some(Armed {
                until: Ord::max(held.until, until),
                ..held
            });
            Ok(())
        }
        (FencerRequest::Extend { term, .. }, Some(held)) => wrong(held.term, term),
        (FencerRequest::Extend { .. }, None) => Err("not armed".to_string()),
        (FencerRequest::Disarm { .. }, None) => Ok(()),
        (FencerRequest::Disarm { term, .. }, Some(held)) if held.term != term => {
            wrong(held.term, term)
        }
        (
            FencerRequest::Disarm {
                why: DisarmReason::NoBackendCanWrite,
                ..
            },
            Some(_),
        ) if left => Err("processes of the instance are left".to_string()),
        (FencerRequest::Disarm { .. }, Some(_)) => {
            *armed = None;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::dcs::LeaseId;

    fn arm(term: i64, until: u64) -> FencerRequest {
        FencerRequest::Arm {
            term: Term(term),
            lease: LeaseId(1),
            until: Mono(until),
        }
    }

    #[test]
    fn an_extension_never_goes_backwards_and_never_serves_another_tenure() {
        let mut armed = None;
        obey(&mut armed, arm(7, 100), true).unwrap();
        obey(
            &mut armed,
            FencerRequest::Extend {
                term: Term(7),
                until: Mono(50),
            },
            true,
        )
        .unwrap();
        assert_eq!(armed.map(|a| a.until), Some(Mono(100)));
        let other = FencerRequest::Extend {
            term: Term(8),
            until: Mono(500),
        };
        assert!(obey(&mut armed, other, true).is_err());
        assert!(obey(&mut armed, arm(6, 500), true).is_err());
    }

    #[test]
    fn disarming_needs_proof_unless_paused() {
        let proof = |why| FencerRequest::Disarm { term: Term(7), why };
        let mut armed = None;
        obey(&mut armed, arm(7, 100), true).unwrap();
        assert!(obey(&mut armed, proof(DisarmReason::NoBackendCanWrite), true).is_err());
        assert!(armed.is_some());
        obey(&mut armed, proof(DisarmReason::Pause), true).unwrap();
        assert!(armed.is_none());
    }
}
