//! The agent's process: how it starts, what it is made of, how it ends. Decides nothing about the cluster.
//!
//! | file | question |
//! |---|---|
//! | `command_line` | what was asked of the program? |
//! | `start` | in which order do the parts come to life, and when is the agent refused to start? |
//! | `host` | which adapter carries out which effect? |
//! | `postmaster` | who becomes the postmaster's parent? |
//! | `wiring` | which part of the configuration does each adapter need? |
//! | `vault` | what must the core, and so its recording, never see? |
//! | `signals` | what do SIGTERM, SIGINT and SIGHUP mean? |
//! | `logging` | how does a line of log leave without ever holding up the agent? |
//!
//! Everything runs on one thread (tokio's current-thread runtime); what may wait for a disk has threads of
//! its own: the recorder, PostgreSQL's operations, the log.

pub mod command_line;
pub mod host;
pub mod logging;
pub mod postmaster;
pub mod signals;
pub mod start;
pub mod vault;
pub mod wiring;
