//! What people, tools and load balancers see of a member over HTTP.
//! Answers from the published view with the core's verdicts, and hands requests to the agent; decides nothing.
//!
//! - `server`: the thread, the connections and their bounds
//! - `route`: which answer a method and a path ask for
//! - `show`: everything that only reads
//! - `change`: a request's body as a request of an operator
//! - `pending`: who waits for which request's end
//! - `outcome`: how a request's end reads in Patroni's status codes
//! - `access`: who may change things

mod access;
mod change;
mod outcome;
mod pending;
mod route;
mod schedule;
mod server;
mod show;

pub use access::authorization;
pub use server::{RestError, RestHandle, RestSettings, start};

use std::sync::{Arc, PoisonError, RwLock};
use tanist_core::view::View;

/// The latest view. The agent replaces it; connections read it without holding the agent up.
#[derive(Clone, Debug)]
pub struct Published(Arc<RwLock<Arc<View>>>);

impl Published {
    pub fn new(view: View) -> Published {
        Published(Arc::new(RwLock::new(Arc::new(view))))
    }

    pub fn publish(&self, view: View) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    pub fn latest(&self) -> Arc<View> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
