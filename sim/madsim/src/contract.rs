//! What the driver owes the core and the host, judged at each call that it makes of the host: one book for
//! each life of an agent, and the recording that this life leaves. Knows nothing of clusters.
//!
//! 1. Every input is handled once, in the order in which it came, at the time of its handling.
//! 2. A wake-up comes when the core asked for it: not before, and not slept through.
//! 3. A line is written, and the view shown, before the effects of that line are begun.
//! 4. Every effect of a line is begun once, in the core's order, before the next line.

use std::collections::VecDeque;
use tanist_core::agent::{Agent, Output};
use tanist_core::effect::{Effect, EffectBody};
use tanist_core::input::Input;
use tanist_core::name::OpId;
use tanist_core::record::{Header, Recording};
use tanist_core::replay::replay;
use tanist_core::time::{Mono, Now, Span};
use tanist_sim::shell::outside::Birth;

/// How late a wake-up may be. The driver looks at its clock once a second at least, and a host's clock may
/// run wrong by a tenth in a drawn plan.
const LATE_MAX: Span = Span::millis(500);

/// The state goes into the recording as a digest after every so many handles.
const DIGEST_EVERY: u64 = 16;

pub struct Book {
    recording: Recording,
    text: String,
    /// Put into the driver's channel and not handled yet.
    sent: VecDeque<Input>,
    /// Of the last line, and not begun yet.
    owed: VecDeque<OpId>,
    shown: Shown,
    deadline: Option<Mono>,
    /// Not frozen since.
    awake_since: Mono,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    AsRecorded,
    NotYet,
}

impl Book {
    pub fn open(birth: &Birth) -> Book {
        let Birth {
            settings,
            boot,
            seed,
            born,
            ..
        } = birth.clone();
        let agent = Agent::new(settings.clone(), boot.clone(), seed, born);
        let header = Header::new("", settings, boot, seed, born);
        let (recording, text) = Recording::begin(header, DIGEST_EVERY);
        Book {
            recording,
            text,
            sent: VecDeque::new(),
            owed: VecDeque::new(),
            shown: Shown::AsRecorded,
            deadline: agent.next_wakeup().map(|(at, _)| at),
            awake_since: born.mono,
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }
    pub fn handles(&self) -> u64 {
        self.recording.handles()
    }

    /// `input` is in the driver's channel.
    pub fn sent(&mut self, input: Input) {
        self.sent.push_back(input);
    }

    pub fn thawed(&mut self, now: Mono) {
        self.awake_since = now;
    }

    /// The driver has handled `input` at `now` and writes its line, while the host's clock shows `clock`.
    pub fn line(
        &mut self,
        now: Now,
        clock: Now,
        input: &Input,
        output: &Output,
        core: &Agent,
    ) -> Result<(), String> {
        self.text += &self.recording.handle(now, input, output, core);
        if now != clock {
            return Err(format!("handled as of {now:?} when it was {clock:?}"));
        }
        if let Some(op) = self.owed.front() {
            return Err(format!("effect {op} was never begun"));
        }
        match (input, self.deadline) {
            (Input::Wakeup, Some(deadline)) if deadline <= now.mono => {}
            (Input::Wakeup, due) => return Err(format!("woken at {:?}, due {due:?}", now.mono)),
            (told, _) => match self.sent.pop_front() {
                Some(came) if came == *told => {}
                came => return Err(format!("handled {told:?} where {came:?} had come")),
            },
        }
        self.deadline = core.next_wakeup().map(|(at, _)| at);
        self.owed = output
            .effects
            .iter()
            .filter(|effect| !matches!(effect.body, EffectBody::Exit { .. }))
            .map(|effect| effect.id)
            .collect();
        self.shown = Shown::NotYet;
        Ok(())
    }

    /// The driver shows the view of the last line.
    pub fn view(&mut self) -> Result<(), String> {
        match self.shown {
            Shown::NotYet => {
                self.shown = Shown::AsRecorded;
                Ok(())
            }
            Shown::AsRecorded => Err("a view was shown before its line was written".to_string()),
        }
    }

    /// The driver begins `effect`.
    pub fn begins(&mut self, effect: &Effect) -> Result<(), String> {
        match (self.owed.pop_front(), self.shown) {
            (Some(owed), Shown::AsRecorded) if owed == effect.id => Ok(()),
            (Some(owed), Shown::NotYet) if owed == effect.id => {
                Err(format!("effect {owed} was begun before its view was shown"))
            }
            (Some(owed), _) => Err(format!("effect {} was begun before {owed}", effect.id)),
            (None, _) => Err(format!("effect {} was begun and is on no line", effect.id)),
        }
    }

    /// Time has come to `now`, and the process may run.
    pub fn time_passes(&self, now: Mono) -> Result<(), String> {
        match self.deadline {
            Some(deadline) if now.since(deadline.max(self.awake_since)) > LATE_MAX => Err(format!(
                "slept through the deadline {deadline:?} until {now:?}"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The core decides the whole recording again, to the last byte.
    pub fn replays(&self) -> Result<(), String> {
        match replay(&self.text) {
            Ok(done) if done.handles == self.handles() => Ok(()),
            Ok(done) => Err(format!("{} of {} replayed", done.handles, self.handles())),
            Err(differs) => Err(differs.to_string()),
        }
    }
}
