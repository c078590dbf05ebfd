//! Connections that are used up: nobody new is let in, an agent neither; who is in goes on, and so do WAL senders, whose
//! places are counted apart (`max_wal_senders`). PostgreSQL answers at once (`FATAL`, 53300): that is no silence.
//! Knows nothing of who asks.

use crate::wire::Seat;
use crate::world::World;

/// Whoever asks for a session hears this where none is left.
pub(crate) const TOO_MANY: &str = "sorry, too many clients already";

impl World {
    /// They are as many as the server lets in, or fewer again. A server that starts anew has none.
    pub(crate) fn crowd(&mut self, seat: Seat, crowded: bool) {
        if let Some(server) = self.pgs[seat.index()].server.as_mut() {
            server.crowded = crowded;
        }
    }

    pub(crate) fn is_crowded(&self, seat: Seat) -> bool {
        let server = self.pgs[seat.index()].server.as_ref();
        server.is_some_and(|server| server.crowded)
    }
}
