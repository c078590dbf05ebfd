//! What people, tools and load balancers see of a member over HTTP.
//! Answers from the published view with the core's verdicts, and hands requests to the agent; decides nothing.
//!
//! - `server`: the thread, the connections and their bounds
//! - `route`: which answer a method and a path ask for
//! - `show`: everything that only reads
//! - `change`: a request's body as a request of an operator
//! - `pending`: who waits for which request's end
//! - `outcome`: how a request's end reads in Patroni's status codes
//! - `recordings`: the flight recordings of some time
//! - `access`: who may change things
//! - `fresh`: what is true at the moment of asking

mod access;
mod change;
mod fresh;
mod outcome;
mod pending;
mod recordings;
mod route;
mod schedule;
mod server;
mod show;

pub use access::authorization;
pub use fresh::Look;
pub use server::{RestError, RestHandle, RestSettings, start};

use std::sync::{Arc, PoisonError, RwLock};
use tanist_core::view::View;

/// The view that was published last. The agent replaces the inner `Arc`; a connection takes it and lets go
/// of the lock, so that neither holds the other up.
pub type Published = Arc<RwLock<Arc<View>>>;

fn latest(published: &Published) -> Arc<View> {
    let view = published.read().unwrap_or_else(PoisonError::into_inner);
    view.clone()
}
