//! # PostgreSQL
//!
//! Carries out the core's operations and side tasks on a real PostgreSQL, and looks at it. Decides nothing
//! about high availability: every step, mode and timeout comes in with the effect.
//!
//! - [`Adapter`] starts work: operations one at a time, side tasks beside them, each on a thread of its own.
//! - `observe`, `sql_status`, `control_data`, `process`: what is there.
//! - `start`, `stop`, `promote`, `basebackup`, `rewind`, `crash_recovery`, `discard`, `initdb`: the operations.
//! - `reconfigure`, `slots`, `upstream`: the side tasks.
//! - `render`, `conninfo`, `marks`: the files that are written. `session`, `tool`: how servers and programs are spoken to.
//!
//! Deliberately absent: roles, leader key, leases, lag. Passwords appear in two files of mode 0600 (the
//! password file; initdb's, for its run) and on the wire, never in an argument, a log or an error.

mod adapter;
mod archive;
mod basebackup;
mod conninfo;
mod context;
pub mod control_data;
mod crash_recovery;
mod deadline;
mod discard;
mod host;
mod initdb;
mod marks;
mod observe;
pub mod process;
mod promote;
mod reconfigure;
mod render;
mod rewind;
mod same_wal;
mod session;
mod settings;
mod slots;
mod sql_status;
mod start;
mod stop;
mod tool;
mod trouble;
mod upstream;

pub use adapter::{Adapter, Observer};
pub use host::{DirectHost, PostmasterCommand, PostmasterHost};
pub use settings::{AsideCopies, DbUser, LocalHost, PgSettings, state_dir_beside};
