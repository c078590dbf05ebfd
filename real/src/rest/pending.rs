//! Who waits for which request's end. Every request is given a number that no other request of this host
//! ever had; its end is handed to whoever still waits, and dropped when nobody does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tanist_core::name::RequestId;
use tanist_core::operator::Answer;
use tanist_core::time::Now;
use tokio::sync::oneshot;

/// More people than this do not operate one member at a time; a script gone wild does.
const WAITING_MAX: usize = 32;

#[derive(Clone, Debug)]
pub struct Pending {
    waiting: Arc<Mutex<BTreeMap<RequestId, oneshot::Sender<Answer>>>>,
    next: Arc<AtomicU64>,
    /// Distinguishes this life of the agent from every other.
    life: Arc<str>,
}

/// One request's place in the queue; leaving it (the client hung up, or it took too long) gives it up.
#[derive(Debug)]
pub struct Waiting {
    pub id: RequestId,
    pub answer: oneshot::Receiver<Answer>,
    pending: Pending,
}

impl Pending {
    pub fn new(now: Now) -> Pending {
        Pending {
            waiting: Arc::default(),
            next: Arc::default(),
            life: format!("{:x}", now.wall.0).into(),
        }
    }

    /// `None`: too many wait already.
    pub fn enter(&self) -> Option<Waiting> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = RequestId(format!("rest-{}-{number}", self.life));
        waiting.insert(id.clone(), sender);
        Some(Waiting {
            id,
            answer,
            pending: self.clone(),
        })
    }

    pub fn end(&self, id: &RequestId, answer: Answer) {
        if let Some(sender) = self.leave(id) {
            // The client may have hung up in this very moment; the request ends all the same.
            let _ = sender.send(answer);
        }
    }

    fn leave(&self, id: &RequestId) -> Option<oneshot::Sender<Answer>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(id)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pending.leave(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_request_reaches_its_waiter_and_no_other() {
        let pending = Pending::new(Now::default());
        let (mut a, mut b) = (pending.enter().unwrap(), pending.enter().unwrap());
        pending.end(&b.id, Answer::Done("b".into()));
        assert_eq!(b.answer.try_recv(), Ok(Answer::Done("b".into())));
        assert!(a.answer.try_recv().is_err());
        pending.end(&RequestId("unheard of".into()), Answer::Done("?".into()));
    }

    #[test]
    fn a_place_given_up_is_free_again() {
        let pending = Pending::new(Now::default());
        let full: Vec<_> = (0..WAITING_MAX).map(|_| pending.enter().unwrap()).collect();
        assert!(pending.enter().is_none());
        drop(full);
        assert!(pending.enter().is_some());
    }
}
