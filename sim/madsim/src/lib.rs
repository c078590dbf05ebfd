//! # The shell under madsim
//!
//! The simulator's second tier: the *production* driver (`real/driver`, the very source, with tokio renamed to
//! madsim's) on madsim's tasks and timers, one node a member, among the simulator's own store, PostgreSQL, wire,
//! clocks and fencers, under the simulator's own judges. The first tier drives the same core by a loop of its own
//! and is some twenty times faster; this one is for what lies between a timer, a channel and a task.
//!
//! Built with `--cfg madsim` in RUSTFLAGS only, by `make madsim`; without it there is nothing here to build.
//!
//! ## How it fits together
//!
//! ```text
//!   madsim node a            madsim node b ...         stage: the world of tanist-sim, at madsim's time
//!   driver <- channel <- tasks <------------------- mail: what the world tells the agent
//!   driver -> record, view, effects -> tasks ------> begin: what the agent asks of the world
//!   killed, restarted, paused <--------------------- births, deaths and freezes in the world
//! ```
//!
//! | file | question |
//! |---|---|
//! | `stage` | what time is it, what are the nodes, who is told what? |
//! | `member` | by which tasks does one life hear and act? |
//! | `contract` | does the driver keep what it promises? and: does the recording replay? |
//! | `play` | what comes of a seed, a cluster, a driver and a script? |
//! | `wrong` | drivers with one flaw each: can this tier fail? |
//!
//! ## What is covered
//!
//! - The driver's loop: `select!` between inputs and deadline, cancellation of what lost, batches, pacing, and the
//!   order of line, view and effects; each judged at each call ([`contract::Book`]).
//! - Random task order (madsim draws the next ready task from the seed): completions overtake each other and the
//!   watch; a process is killed or frozen between the start of an effect and the first deed of it.
//! - Kill, restart, pause and resume of nodes, wherever the world kills, restarts, freezes or suspends an agent.
//! - Every invariant of the world, and every life's recording replayed through core to the last byte.
//! - One seed is one run: trace hashes of two runs are equal (each run on a fresh OS thread).
//!
//! ## What is not
//!
//! - The real adapters (HTTP, SQL, processes, files, the fencer's socket): they need plain tokio, which panics
//!   here. The tasks in `member` are shaped as theirs are, no more.
//! - Threads: madsim runs one task at a time, so a data race between OS threads does not show.
//! - Time finer than a millisecond: timers here, as tokio's, wait that long at least.
//! - madsim's own network, file system and etcd: too kind (a cut link refuses at once, no watch, one clock).
#![cfg(madsim)]

pub mod contract;
pub mod member;
pub mod play;
pub mod stage;
pub mod wrong;
