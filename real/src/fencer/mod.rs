//! The fencer: a small process of its own that ends PostgreSQL at the deadline when the agent does
//! not, because it is frozen, dead, or stuck. This page is the map.
//!
//! | file | question |
//! |---|---|
//! | `protocol` | what do agent and fencer say to each other? |
//! | `deadline` | what is it armed for, and does it obey? (pure) |
//! | `process_table` | which processes belong to the instance? |
//! | `pidfd` | how is one signalled without ever hitting another? |
//! | `firing` | how is every process of the instance ended? |
//! | `postmaster` | how is a postmaster started, adopted, reaped? |
//! | `guard` | the rule at work: deadline first, then commands |
//! | `serve`, `connection` | the loop and its lines |
//! | `start`, `state_dir`, `self_test`, `diagnostics` | how it begins, what it keeps, what it measures and tells |
//! | `client`, `supervision`, `replacement`, `line` | the agent's side: the handle, and how a fencer is kept alive |
//!
//! What the fencer process never does after its start: wait for a disk. It reads /proc, its socket and
//! its clock; PostgreSQL's program and log are opened by a child, the account of a firing is written
//! by a thread once nothing is left to end.
//!
//! It is subreaper and parent of the postmaster, so backends that outlive the postmaster come to it. It
//! ignores SIGTERM, SIGINT, SIGHUP and SIGQUIT while armed, and ends by them when disarmed (PostgreSQL
//! lives on). Without postmaster, deadline and client it ends after ten seconds. What it cannot cover:
//! agent and fencer killed at once, and a host that is suspended as a whole (it fires on waking).

pub mod client;
pub mod connection;
pub mod deadline;
pub mod diagnostics;
pub mod firing;
pub mod guard;
pub mod line;
pub mod pidfd;
pub mod postmaster;
pub mod process_table;
pub mod protocol;
pub mod replacement;
pub mod self_test;
pub mod serve;
pub mod start;
pub mod state_dir;
pub mod supervision;
