//! The whole on real servers: three agents, three PostgreSQL, one etcd, and each fault of the first order.
//! One test at a time; each needs the machine. `make cluster` runs them, `make cluster T=word` some.

mod baseline;
mod bootstrap;
mod demo;
mod interop;
mod ordeal;
mod pause;
mod processes;
mod readme;
mod recording;
mod settings;
mod stalled_disk;
mod store;
mod support;
mod switchover;
mod values;
mod verbs;
