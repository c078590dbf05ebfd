//! My session with the store and my hold on the leader key: when to renew, what each answer means, and the
//! write authority that follows. One request of this kind is under way at a time.
//! Decides nothing about PostgreSQL: it only says until when it may accept writes.

use crate::agent::{Agent, Output};
use crate::dcs::{DcsOutcome, DcsReply, DcsRequest, KeyOwner, LeaseId, Revision, Session};
use crate::decision::{AcquireReason, Decision, ReleaseReason};
use crate::handover::ABSTAIN;
use crate::keys::member_key;
use crate::leader_key::{Authority, Key, authority_until};
use crate::local::Server;
use crate::member::MemberData;
use crate::name::{MemberName, OpId, Term};
use crate::note::Note;
use crate::store::Heard;
use crate::time::{Mono, Now, Span};
use serde::{Deserialize, Serialize};

/// How long a vanished key may be missing under a primary: one guarded attempt to take it again.
const REACQUIRE_BUDGET: Span = Span::millis(500);
/// Between two attempts while the authority runs out; the exchange has already retried inside its own budget.
const RETRY_PAUSE: Span = Span::millis(100);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionCall {
    Keep,
    Resume,
    Renew { status: Option<String> },
    Acquire { why: AcquireReason },
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resumption {
    /// Nothing known yet of an earlier life's session.
    Untried,
    Trying,
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenure {
    pub key: Key,
    pub session: Option<Session>,
    pub call: Option<(OpId, SessionCall)>,
    pub due: Mono,
    pub resumption: Resumption,
    /// Who took the key from me, when that is known.
    pub lost_to: Option<MemberName>,
    /// Since when a primary that runs without the key may ask for it: after the agent's start and after pause.
    pub may_adopt: Option<Mono>,
    pub last_failure: Option<String>,
    /// The store has said that the key is bound to this very session. A resumed session is alive, and the key may be
    /// bound to another one of mine all the same.
    pub proven: bool,
    /// When the store last said that the key is mine: an older view of it proves nothing.
    pub mine_at: Heard,
    /// When the key was last given up on purpose.
    pub released_at: Option<Mono>,
    /// The tenure that was given up without the store's verdict: the key may still name me.
    pub owes_release: Option<Term>,
    /// After a refusal the key is not asked for before this.
    pub ask_key_at: Mono,
    /// The ttl that was last asked for.
    pub asked_ttl: Span,
    /// When an acquisition last ended without a verdict.
    pub doubt_since: Mono,
    /// An acquisition of mine without a verdict may still be applied.
    pub may_land_late: bool,
}

impl Tenure {
    pub fn new(now: Now) -> Tenure {
        Tenure {
            key: Key::NotHeld,
            session: None,
            call: None,
            due: now.mono,
            resumption: Resumption::Untried,
            lost_to: None,
            may_adopt: Some(now.mono),
            last_failure: None,
            proven: false,
            mine_at: Heard::default(),
            released_at: None,
            owes_release: None,
            ask_key_at: now.mono,
            asked_ttl: Span::ZERO,
            doubt_since: now.mono,
            may_land_late: false,
        }
    }
}

impl Agent {
    /// The one value that says whether PostgreSQL may accept writes.
    pub fn authority(&self) -> Authority {
        if self.paused() {
            return Authority::Paused;
        }
        let lease = |term: Term| {
            let session = self.tenure.session?;
            let until = authority_until(session, self.ttl_at_most(), &self.settings.safety);
            Some(Authority::Lease { until, term })
        };
        match self.tenure.key {
            Key::Held { term } if self.tenure.proven => lease(term).unwrap_or(Authority::None),
            // Until the first renewal, no more than the fencer of the earlier life was armed for.
            Key::Held { term } => match (lease(term), self.boot.fencer) {
                (Some(Authority::Lease { until, .. }), Some(armed)) => Authority::Lease {
                    until: until.min(armed.until),
                    term,
                },
                (_, _) => Authority::None,
            },
            Key::Gone { term, since } => match lease(term) {
                Some(Authority::Lease { until, term }) => Authority::Lease {
                    until: until.min(since + REACQUIRE_BUDGET),
                    term,
                },
                Some(Authority::None | Authority::Paused) | None => Authority::None,
            },
            // The fencer of an earlier life still holds the deadline that this life's predecessor proved.
            Key::NotHeld if self.tenure.resumption != Resumption::Over => match self.boot.fencer {
                Some(armed) => Authority::Lease {
                    until: armed.until,
                    term: armed.term,
                },
                None => Authority::None,
            },
            Key::NotHeld | Key::Acquiring { .. } | Key::InDoubt | Key::Releasing { .. } => {
                Authority::None
            }
        }
    }

    /// When the lease under the leader key ends for us, in pause as well: nothing is fenced there, but a member
    /// becomes writable only on a lease that stands.
    pub fn lease_until(&self) -> Option<Mono> {
        let known = self.tenure.proven && self.term().is_some();
        let session = self.tenure.session.filter(|_| known)?;
        Some(authority_until(
            session,
            self.ttl_at_most(),
            &self.settings.safety,
        ))
    }

    /// The configured ttl, or the one that was asked for last: under a request that shortens the lease and has not been
    /// answered, the old lease may be gone already, whatever is configured by now.
    fn ttl_at_most(&self) -> Span {
        let configured = self.store.config.timing.ttl;
        match self.tenure.asked_ttl {
            Span::ZERO => configured,
            asked => configured.min(asked),
        }
    }

    pub fn holds_key(&self) -> bool {
        matches!(self.tenure.key, Key::Held { .. } | Key::Gone { .. })
    }

    pub fn term(&self) -> Option<Term> {
        self.tenure.key.term()
    }

    /// How long ago the session was last confirmed.
    pub fn unrenewed(&self, now: Now) -> Span {
        self.tenure
            .session
            .map_or(Span::ZERO, |s| now.mono.since(s.renewed_at))
    }

    /// When an orderly stop must begin so that it is over before the authority is: a second of reserve,
    /// or a quarter of what a lease gives where that is less.
    pub fn orderly_stop_at(&self) -> Option<Mono> {
        // While the key is being taken again there is a verdict to come within half a second: no stop before.
        if matches!(self.tenure.key, Key::Gone { .. }) {
            return None;
        }
        let until = self.authority().until()?;
        let whole = self
            .tenure
            .session
            .map_or(Span::ZERO, |s| until.since(s.renewed_at));
        Some(until.saturating_sub(Span::secs(2).min(whole.divided_by(4))))
    }

    /// Renews, resumes, takes again: whatever the session needs now.
    pub fn session_duties(&mut self, now: Now, out: &mut Output) {
        if self.tenure.call.is_some() || self.exited {
            return;
        }
        if self.tenure.resumption == Resumption::Untried {
            if let Some(lease) = self.earlier_lease() {
                self.tenure.resumption = Resumption::Trying;
                let ttl = self.ttl(now);
                let request = DcsRequest::ResumeSession { lease, ttl };
                let until = now.mono + self.store.config.timing.retry_timeout;
                return self.call_session(request, until, SessionCall::Resume, out);
            }
            if self.store.cluster.is_none() {
                return;
            }
            self.tenure.resumption = Resumption::Over;
        }
        match self.tenure.key {
            Key::Gone { since, .. } => self.take_again(now, since, out),
            Key::Held { .. } if now.mono >= self.tenure.due => self.renew(now, out),
            Key::NotHeld if now.mono >= self.tenure.due && self.owes_release().is_some() => {
                self.tenure.owes_release = self.owes_release();
                self.ask_release(now, None, out);
            }
            Key::NotHeld if now.mono >= self.tenure.due => {
                let ttl = self.ttl(now);
                let request = DcsRequest::KeepSession { ttl };
                let until = now.mono + self.store.config.timing.retry_timeout;
                self.call_session(request, until, SessionCall::Keep, out);
            }
            Key::Held { .. }
            | Key::NotHeld
            | Key::Acquiring { .. }
            | Key::InDoubt
            | Key::Releasing { .. } => {}
        }
    }

    /// The session of my previous life: the one the fencer was armed for, or the one my leader key is bound to.
    fn earlier_lease(&self) -> Option<LeaseId> {
        let armed = self.boot.fencer.map(|armed| armed.lease);
        let lease = armed.or_else(|| self.lease_of_my_key());
        lease.filter(|lease| *lease != LeaseId::NONE)
    }

    /// Somebody else may go by my name, alive though it did not answer when this life began: whoever takes over its
    /// session is a second leader. So the member key must be of the same session, and written by this very agent.
    fn lease_of_my_key(&self) -> Option<LeaseId> {
        let name = &self.settings.name;
        let key = self.store.leader().filter(|key| key.owner == *name)?;
        let written = self.store.value(&member_key(name))?;
        let mine = MemberData::parse(&written.value)?.is_of(self.boot.instance);
        (mine && written.lease == key.lease).then_some(key.lease)
    }

    fn renew(&mut self, now: Now, out: &mut Output) {
        let status = self.status_to_publish();
        let request = DcsRequest::Renew {
            owner: self.settings.name.clone(),
            ttl: self.ttl(now),
            status: status.clone(),
        };
        // No request may go on after the authority ended; past it there is nothing left to protect.
        let budget = now.mono + self.store.config.timing.retry_timeout;
        let until = match self.authority().until() {
            Some(end) if end > now.mono => budget.min(end),
            Some(_) | None => budget,
        };
        self.call_session(request, until, SessionCall::Renew { status }, out);
    }

    fn take_again(&mut self, now: Now, since: Mono, out: &mut Output) {
        let until = self
            .authority()
            .until()
            .map_or(since + REACQUIRE_BUDGET, |end| {
                end.min(since + REACQUIRE_BUDGET)
            });
        if now.mono >= until {
            return self.lose_key(None);
        }
        let why = AcquireReason::KeyGone;
        if self.tenure.call.is_none() {
            let again = Decision::Acquire { why: why.clone() };
            out.notes.push(Note::Decided(again));
        }
        self.request_key(now, why, until, out);
    }

    /// Asks for the leader key, guarded by the versions that the decision saw.
    pub fn request_key(&mut self, now: Now, why: AcquireReason, until: Mono, out: &mut Output) {
        if self.tenure.call.is_some() {
            return;
        }
        let guard = self.guard(&why);
        let request = DcsRequest::Acquire {
            owner: self.settings.name.clone(),
            ttl: self.ttl(now),
            guard,
        };
        let again = why == AcquireReason::KeyGone;
        self.call_session(request, until, SessionCall::Acquire { why }, out);
        if let (false, Some((op, _))) = (again, &self.tenure.call) {
            self.tenure.key = Key::Acquiring { op: *op };
        }
    }

    /// Gives the key up. Only `carry_out` calls this, after every backend is gone.
    pub fn release_key(&mut self, now: Now, why: &ReleaseReason, out: &mut Output) {
        if self.tenure.call.is_some() {
            return;
        }
        let Some(term) = self.term() else { return };
        if self.local.server() != Server::Down {
            return self.assertion_failed("release with a server that runs", out);
        }
        let status = self.final_status(why);
        self.tenure.owes_release = Some(term);
        self.ask_release(now, status, out);
        if let Some((op, _)) = &self.tenure.call {
            self.tenure.key = Key::Releasing { op: *op, term };
        }
        self.tenure.released_at = Some(now.mono);
    }

    fn ask_release(&mut self, now: Now, status: Option<String>, out: &mut Output) {
        let Some(term) = self.tenure.owes_release else {
            return;
        };
        let request = DcsRequest::Release {
            owner: self.settings.name.clone(),
            term,
            status,
        };
        let until = now.mono + self.store.config.timing.retry_timeout;
        self.call_session(request, until, SessionCall::Release, out);
    }

    /// The store shows a key of mine that I do not hold: its release had no verdict, or the store was put back to a
    /// time before it. My session is kept alive for the member key, and the key with it: nobody could ever lead if it
    /// were not given up again.
    fn owes_release(&self) -> Option<Term> {
        let key = self.store.leader()?;
        let lease = self.tenure.session.map(|s| s.lease);
        let mine = key.owner == self.settings.name;
        let owed = self.tenure.owes_release == Some(key.term) || Some(key.lease) == lease;
        (mine && owed).then_some(key.term)
    }

    fn call_session(
        &mut self,
        request: DcsRequest,
        until: Mono,
        call: SessionCall,
        out: &mut Output,
    ) {
        let op = self.ask_store(request, until, out);
        self.tenure.call = Some((op, call));
    }

    /// The end of a request of this file's. `false`: it is not one.
    pub fn session_answered(
        &mut self,
        now: Now,
        op: OpId,
        outcome: &DcsOutcome,
        out: &mut Output,
    ) -> bool {
        if self
            .tenure
            .call
            .as_ref()
            .is_none_or(|(mine, _)| *mine != op)
        {
            return false;
        }
        let Some((_, call)) = self.tenure.call.take() else {
            return false;
        };
        match call {
            SessionCall::Keep => self.kept(now, outcome, out),
            SessionCall::Resume => self.resumed(now, outcome),
            SessionCall::Renew { status } => self.renewed(now, outcome, status, out),
            SessionCall::Acquire { why } => self.acquired(now, &why, outcome, out),
            SessionCall::Release => self.released(now, outcome, out),
        }
        true
    }

    fn kept(&mut self, now: Now, outcome: &DcsOutcome, out: &mut Output) {
        self.tenure.due = now.mono + self.store.config.timing.loop_wait;
        match outcome {
            DcsOutcome::Ok(DcsReply::Session(session)) => self.tenure.session = Some(*session),
            DcsOutcome::SessionGone => {
                self.tenure.session = None;
                self.tenure.due = now.mono + RETRY_PAUSE;
            }
            other => {
                self.tenure.due = now.mono + Span::secs(1);
                self.tell_store_failure("keeping the session alive", other, out);
            }
        }
    }

    fn resumed(&mut self, now: Now, outcome: &DcsOutcome) {
        self.tenure.due = now.mono;
        match outcome {
            DcsOutcome::Ok(DcsReply::Session(session)) => {
                self.tenure.session = Some(*session);
                self.tenure.resumption = Resumption::Over;
                // Whether the key is still mine, the first renewal proves; until then the deadline that the
                // fencer held is what counts.
                let named = self
                    .store
                    .leader()
                    .filter(|k| k.owner == self.settings.name)
                    .map(|k| k.term);
                if let Some(term) = self.boot.fencer.map(|a| a.term).or(named) {
                    self.tenure.key = Key::Held { term };
                    self.tenure.proven = false;
                }
            }
            DcsOutcome::SessionGone => self.tenure.resumption = Resumption::Over,
            DcsOutcome::Ok(_) | DcsOutcome::Conflict { .. } | DcsOutcome::Denied(_) => {
                self.tenure.resumption = Resumption::Over;
            }
            // No verdict: the session may live. Try again for as long as it can.
            DcsOutcome::NotSent(_) | DcsOutcome::Unknown(_) => {
                self.tenure.resumption = Resumption::Untried
            }
        }
    }

    fn renewed(
        &mut self,
        now: Now,
        outcome: &DcsOutcome,
        status: Option<String>,
        out: &mut Output,
    ) {
        self.tenure.due = now.mono + RETRY_PAUSE;
        match outcome {
            DcsOutcome::Ok(DcsReply::Renewed {
                session,
                owner,
                revision,
            }) => match owner {
                KeyOwner::Mine { term } => {
                    self.tenure.mine_at = Heard {
                        revision: *revision,
                        at: now.mono,
                    };
                    self.tenure.session = Some(*session);
                    self.tenure.key = Key::Held { term: *term };
                    self.tenure.proven = true;
                    self.tenure.due = session.renewed_at + self.store.config.timing.loop_wait;
                    self.tenure.last_failure = None;
                    self.status_published(status);
                }
                KeyOwner::Other { name } => self.lose_key(Some(name.clone())),
                KeyOwner::MyNameOtherSession { .. } => {
                    self.lose_key(Some(self.settings.name.clone()))
                }
                KeyOwner::Absent => {
                    // Only who held it without a gap may take it again without asking anybody: in one, another may have
                    // led, and a new session says nothing of that.
                    let stood = self.lease_until().is_some_and(|until| now.mono < until);
                    self.tenure.session = Some(*session);
                    if stood {
                        self.key_vanished(now);
                    } else {
                        self.lose_key(None);
                    }
                }
            },
            DcsOutcome::SessionGone => {
                // The authority that the dead session gave goes on until its deadline, no longer.
                self.key_vanished(now);
            }
            DcsOutcome::Conflict {
                owner: KeyOwner::Other { name },
            } => self.lose_key(Some(name.clone())),
            DcsOutcome::Ok(_)
            | DcsOutcome::Conflict { .. }
            | DcsOutcome::Denied(_)
            | DcsOutcome::NotSent(_)
            | DcsOutcome::Unknown(_) => {
                let why = reason_of(outcome);
                if self.tenure.last_failure.as_ref() != Some(&why) {
                    self.tenure.last_failure = Some(why.clone());
                    let left = self
                        .authority()
                        .until()
                        .map_or(Span::ZERO, |u| u.since(now.mono));
                    out.notes.push(Note::KeyRenewalFailed {
                        why,
                        authority_left: left,
                    });
                }
            }
        }
    }

    fn acquired(&mut self, now: Now, why: &AcquireReason, outcome: &DcsOutcome, out: &mut Output) {
        self.tenure.due = now.mono;
        match outcome {
            DcsOutcome::Ok(DcsReply::Acquired {
                session,
                term,
                revision,
            }) => {
                self.tenure.mine_at = Heard {
                    revision: *revision,
                    at: now.mono,
                };
                self.tenure.session = Some(*session);
                self.tenure.key = Key::Held { term: *term };
                self.tenure.proven = true;
                self.tenure.lost_to = None;
                self.tenure.may_adopt = None;
                self.tenure.may_land_late = false;
                self.tenure.owes_release = None;
                out.notes.push(Note::KeyAcquired { term: *term });
                // What a leader has is nothing to be thrown away any more.
                if std::mem::take(&mut self.rejoin.reinit) {
                    out.notes.push(Note::ReinitGivenUp);
                }
            }
            DcsOutcome::Conflict { owner } => {
                let owner = match owner {
                    KeyOwner::Other { name } => Some(name.clone()),
                    KeyOwner::Mine { .. }
                    | KeyOwner::MyNameOtherSession { .. }
                    | KeyOwner::Absent => None,
                };
                if *why == AcquireReason::Bootstrap {
                    // Begun anew, it rests on a claim of its own.
                    self.founding_lost("the claim on the initialize key is gone");
                }
                self.lose_key(owner);
                self.election.lost_race(now);
            }
            DcsOutcome::Unknown(_) if *why == AcquireReason::KeyGone => {
                self.lose_key(None);
                self.tenure.may_land_late = true;
            }
            DcsOutcome::Unknown(_) => {
                self.tenure.key = Key::InDoubt;
                self.tenure.doubt_since = now.mono;
                self.tenure.may_land_late = true;
            }
            DcsOutcome::Ok(_)
            | DcsOutcome::SessionGone
            | DcsOutcome::Denied(_)
            | DcsOutcome::NotSent(_) => {
                // A store that refuses at once is not asked again at once.
                self.tenure.ask_key_at = now.mono + Span::secs(1);
                self.lose_key(None);
                self.election.lost_race(now);
                self.tell_store_failure("acquiring the leader key", outcome, out);
            }
        }
    }

    fn released(&mut self, now: Now, outcome: &DcsOutcome, out: &mut Output) {
        // Whatever became of it, the key is never acted on again.
        self.tenure.key = Key::NotHeld;
        self.tenure.due = now.mono + self.store.config.timing.loop_wait;
        match outcome {
            DcsOutcome::Ok(_) => {
                self.tenure.owes_release = None;
                return out.notes.push(Note::KeyReleased);
            }
            DcsOutcome::Conflict { .. } | DcsOutcome::SessionGone => {
                self.tenure.owes_release = None;
            }
            DcsOutcome::Denied(_) | DcsOutcome::NotSent(_) | DcsOutcome::Unknown(_) => {
                self.tenure.due = now.mono + Span::secs(1);
            }
        }
        self.tell_store_failure("releasing the leader key", outcome, out);
    }

    /// The store shows no leader key although I held it. Past the lease another may have led in between, in pause as well,
    /// where the authority to write knows no end.
    pub fn key_vanished(&mut self, now: Now) {
        if self.lease_until().is_some_and(|until| now.mono >= until) {
            return self.lose_key(None);
        }
        if let Key::Held { term } = self.tenure.key {
            self.tenure.key = Key::Gone {
                term,
                since: now.mono,
            };
        }
    }

    pub fn lose_key(&mut self, to: Option<MemberName>) {
        self.tenure.key = Key::NotHeld;
        self.tenure.lost_to = to;
    }

    /// A request of mine that had no verdict was applied late: the key is mine, bound to my session, unasked.
    fn adopt_late_key(&mut self, now: Now) {
        let Some(lease) = self.tenure.session.map(|s| s.lease) else {
            return;
        };
        let busy = self.tenure.call.is_some() || self.stopping || !self.tenure.may_land_late;
        let mine = self
            .store
            .leader()
            .filter(|k| k.owner == self.settings.name && k.lease == lease)
            .map(|k| k.term);
        let gave_up = self
            .tenure
            .released_at
            .is_some_and(|at| now.mono.since(at) < ABSTAIN);
        if let (Key::NotHeld, Some(term), false, false) = (self.tenure.key, mine, busy, gave_up) {
            self.tenure.key = Key::Held { term };
            self.tenure.proven = true;
            self.tenure.due = now.mono;
            self.tenure.may_land_late = false;
        }
    }

    /// Compares what the watch shows of the leader key with what I believe.
    pub fn check_key_against_store(&mut self, now: Now) {
        self.adopt_late_key(now);
        let Key::Held { term } = self.tenure.key else {
            return;
        };
        if self
            .tenure
            .call
            .as_ref()
            .is_some_and(|(_, call)| matches!(call, SessionCall::Release))
        {
            return;
        }
        // A view older than the store's own word proves nothing: a watch may have died without telling, and the key
        // would be taken again, and missed again, a thousand times a second. So does the view of a store that is gone.
        let mine = self.tenure.mine_at;
        let revision = mine.revision.max(Revision(term.0.saturating_add(1)));
        let older = !self.store.shows(Heard { revision, ..mine });
        if older || self.store.outdated {
            return;
        }
        match self.store.leader().cloned() {
            None => self.key_vanished(now),
            Some(key) if key.owner != self.settings.name => self.lose_key(Some(key.owner)),
            Some(_) => {}
        }
    }

    /// The ttl to ask the store for. A shorter one than before has to wait while the fencer holds a deadline that the
    /// old one gave: the fencer never goes back, and the new lease would be over before it ends PostgreSQL.
    fn ttl(&mut self, now: Now) -> Span {
        let wanted = self.store.config.timing.ttl;
        let fresh = Session {
            lease: LeaseId::NONE,
            ttl: wanted,
            renewed_at: now.mono,
        };
        let covered = authority_until(fresh, wanted, &self.settings.safety);
        let held = self.fencing.holds_until().is_some_and(|at| at > covered);
        if !(held && wanted < self.tenure.asked_ttl) {
            self.tenure.asked_ttl = wanted;
        }
        self.tenure.asked_ttl
    }

    /// Resolves a doubtful acquisition by what the quorum shows.
    pub fn resolve_doubt(&mut self, now: Now) {
        if self.tenure.key != Key::InDoubt {
            return;
        }
        let mine = self.tenure.session.map(|s| s.lease);
        match self.store.leader() {
            Some(key) if key.owner == self.settings.name && Some(key.lease) == mine => {
                self.tenure.key = Key::Held { term: key.term };
                self.tenure.proven = true;
                self.tenure.due = now.mono;
                self.tenure.may_adopt = None;
            }
            Some(key) => {
                let owner = key.owner.clone();
                self.lose_key(Some(owner));
            }
            // The request may still arrive; a later acquisition of mine is guarded by the key's absence.
            None => {
                self.lose_key(None);
                self.election.lost_race(now);
            }
        }
    }
}

/// The words for an outcome that is not in our favour.
pub fn reason_of(outcome: &DcsOutcome) -> String {
    match outcome {
        DcsOutcome::Ok(_) => "an answer of another kind".into(),
        DcsOutcome::Conflict { .. } => "a precondition did not hold".into(),
        DcsOutcome::SessionGone => "the session is gone".into(),
        DcsOutcome::Denied(why) => format!("denied: {why}"),
        DcsOutcome::NotSent(why) => format!("not sent: {why}"),
        DcsOutcome::Unknown(why) => format!("no verdict: {why}"),
    }
}
