//! How does this host reach the store? The etcd v3 adapter, over etcd's JSON gateway.
//! Decides nothing about the cluster: what an answer means is said by the core's exchange.
//!
//! - `settings`, `tls`: where etcd is and how to prove who we are
//! - `connection`, `gateway`, `refusal`: one HTTP call, and what an error answer means
//! - `wire`: primitives and keys as JSON
//! - `endpoints`: which member to ask, and which answers are too old
//! - `client`: one primitive, with login and failover to the next member
//! - `watch`: the stream of changes
//! - `store`: requests of the core, as tasks

mod client;
mod connection;
mod endpoints;
mod gateway;
mod refusal;
mod settings;
mod store;
mod tls;
mod watch;
mod wire;

pub use settings::{Endpoint, EtcdSettings, Scheme};
pub use store::{Store, StoreError};
pub use wire::base_path;
