//! L06: every request ends, and what its answer says is so: whoever was to lead has led since, the server was started anew.
//! A switchover is begun neither before its time nor without anybody asking, and one that was cancelled stays so.

use super::Invariant;
use crate::moment::Moment;
use crate::operator::Asked;
use crate::wire::Seat;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use tanist_core::agent::Output;
use tanist_core::decision::{Decision, StopReason};
use tanist_core::iso::parse_iso;
use tanist_core::keys::{FAILOVER, FailoverKey};
use tanist_core::name::RequestId;
use tanist_core::note::Note;
use tanist_core::operator::{Answer, OperatorRequest};
use tanist_core::time::Span;

/// Who begins may still go by a key that was there so long ago: its last look through the quorum.
const KNOWN_LATE: Span = Span::secs(60);

/// What was asked for through the store, and who has led.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    /// Until when each owner of the leader key held it last, but for the present one.
    led_until: BTreeMap<String, Moment>,
    /// The failover keys of late, with the time from which they were gone.
    keys: Vec<(FailoverKey, Option<Moment>)>,
    /// The times of switchovers that were taken back.
    cancelled: BTreeSet<String>,
}

impl World {
    pub(crate) fn note_led(&mut self, owner: &str) {
        let now = self.now();
        let led = &mut self.oracle.evidence.asking.led_until;
        led.insert(owner.to_string(), now);
    }

    /// The failover key was written or deleted.
    pub(crate) fn note_failover_key(&mut self, value: Option<&str>) {
        let now = self.now();
        let asking = &mut self.oracle.evidence.asking;
        for (_, until) in &mut asking.keys {
            until.get_or_insert(now);
        }
        let late = |until: &Option<Moment>| until.is_some_and(|at| now.since(at) >= KNOWN_LATE);
        asking.keys.retain(|(_, until)| !late(until));
        let Some(key) = value.and_then(FailoverKey::parse) else {
            return;
        };
        let again = key.scheduled_at.as_ref();
        let again = again.is_some_and(|at| asking.cancelled.contains(at));
        asking.keys.push((key, None));
        if again {
            let story = "a switchover that was cancelled is asked for again".to_string();
            self.oracle.judge(Invariant::RequestsEnd, now, Err(story));
        }
    }

    /// The store was taken back to where it had been: what was cancelled since may be asked for there.
    pub(crate) fn forget_cancelled(&mut self) {
        self.oracle.evidence.asking.cancelled.clear();
        let key = self.store.get(FAILOVER).map(|kv| kv.value.clone());
        self.note_failover_key(key.as_deref());
    }

    /// An agent has answered a request.
    pub(crate) fn check_answer(&mut self, seat: Seat, id: &RequestId, answer: &Answer) {
        let now = self.now();
        let Some(asked) = self.requests.open.get(id).cloned() else {
            return;
        };
        let Answer::Done(text) = answer else {
            return self.oracle.fine(Invariant::RequestsEnd);
        };
        if self.is_patroni(seat) || self.is_misnamed() {
            return self.oracle.set_aside(Invariant::RequestsEnd);
        }
        let verdict = match self.came_true(&asked, text) {
            true => Ok(()),
            false => Err(format!(
                "{} answers `{text}` to {:?}, and that is not so",
                self.name(seat),
                asked.request
            )),
        };
        self.oracle.judge(Invariant::RequestsEnd, now, verdict);
        if asked.request == OperatorRequest::CancelSwitchover {
            self.note_cancelled();
        }
    }

    fn came_true(&self, asked: &Asked, text: &str) -> bool {
        // "Failed over to "c" instead of "d"" is done, too, as with Patroni.
        let named = text.split('"').nth(1);
        let instead = text.contains("instead of").then_some(named).flatten();
        match &asked.request {
            OperatorRequest::Switchover {
                leader,
                candidate,
                at: None,
            } => {
                let wanted = instead.or(candidate.as_ref().map(|c| c.as_str()));
                let wanted = |name: &str| wanted.map_or(name != leader.as_str(), |w| name == w);
                self.has_led_since(asked.at, wanted)
            }
            OperatorRequest::Failover { candidate } => {
                let wanted = instead.unwrap_or(candidate.as_str());
                self.has_led_since(asked.at, |name| name == wanted)
            }
            OperatorRequest::Restart => self.pgs[asked.seat.index()].run > asked.run,
            OperatorRequest::Switchover { at: Some(_), .. }
            | OperatorRequest::CancelSwitchover
            | OperatorRequest::Reinitialize { .. }
            | OperatorRequest::PatchConfig { .. }
            | OperatorRequest::PutConfig { .. } => true,
        }
    }

    fn has_led_since(&self, since: Moment, wanted: impl Fn(&str) -> bool) -> bool {
        let led = &self.oracle.evidence.asking.led_until;
        let mut lately = led.iter().filter(|(_, until)| **until >= since);
        self.key_owner().is_some_and(|owner| wanted(&owner)) || lately.any(|(name, _)| wanted(name))
    }

    fn note_cancelled(&mut self) {
        let asking = &mut self.oracle.evidence.asking;
        let gone = asking.keys.iter().rev().find(|(_, until)| until.is_some());
        let at = gone.and_then(|(key, _)| key.scheduled_at.clone());
        asking.cancelled.extend(at);
    }

    /// `seat`'s agent may have begun a switchover.
    pub(crate) fn check_begun(&mut self, seat: Seat, out: &Output) {
        let begins = |note: &Note| {
            let Note::Decided(Decision::Stop { why, .. }) = note else {
                return false;
            };
            matches!(why, StopReason::Switchover { .. })
        };
        if !out.notes.iter().any(begins) {
            return;
        }
        let (now, wall) = (self.now(), self.host_now(seat).wall);
        let due = |at: &String| parse_iso(at).is_none_or(|at| at <= wall);
        let mut keys = self.oracle.evidence.asking.keys.iter();
        let asked = keys.any(|(key, _)| key.scheduled_at.as_ref().is_none_or(due));
        let verdict = match asked {
            true => Ok(()),
            false => Err(format!(
                "{} begins a switchover that nobody asks for now",
                self.name(seat)
            )),
        };
        self.oracle.judge(Invariant::RequestsEnd, now, verdict);
    }

    pub(crate) fn check_requests_end(&mut self) {
        let now = self.now();
        let ended = match self.open_too_long() {
            None => Ok(()),
            Some(id) => Err(format!("request {id} never ended")),
        };
        self.oracle.judge(Invariant::RequestsEnd, now, ended);
    }
}
