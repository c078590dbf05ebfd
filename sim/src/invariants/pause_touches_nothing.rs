//! S18: an agent that knows of the pause starts, stops, promotes, rewinds, clones nothing unless somebody asked
//! for it since. Maintenance mode exists so that people can work on PostgreSQL with nobody in the way. What a request
//! took down stays that request's matter until the member is back in the cluster.

use super::Invariant;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::keys::FailoverKey;
use tanist_core::postgres::Operation;
use tanist_core::time::Span;

/// A request of an operator excuses what follows from it for this long.
const EXCUSED_FOR: Span = Span::secs(120);

impl World {
    pub(crate) fn check_pause(&mut self, seat: Seat, operation: &Operation) {
        let now = self.now();
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        if !agent.agent.paused() {
            return self.oracle.fine(Invariant::PauseTouchesNothing);
        }
        let requests = &self.requests;
        let lately = requests.last_touching;
        let lately = lately.is_some_and(|at| now.since(at) < EXCUSED_FOR);
        // One from before the pause that still names this member.
        let name = self.name(seat);
        let request = self.store.get("failover");
        let request = request.and_then(|kv| FailoverKey::parse(&kv.value));
        let named = request.is_some_and(|request| request.member.as_ref() == Some(&name));
        if lately || named || requests.touched.contains(&seat) {
            return self.oracle.set_aside(Invariant::PauseTouchesNothing);
        }
        let story = format!(
            "{} begins a {} while paused",
            self.name(seat),
            operation.verb()
        );
        self.oracle
            .judge(Invariant::PauseTouchesNothing, now, Err(story));
    }
}
