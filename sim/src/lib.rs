//! # The simulator
//!
//! Drives the production core ([`tanist_core`]) against a fake store, a fake PostgreSQL, hosts and a network that are
//! as unkind as the real ones, in virtual time. Itself sans-IO: no async runtime, no clock, one queue, ChaCha8 streams
//! derived by name from the seed, so that a run is a value: the same plan and seed give the same trace, byte for byte.
//!
//! ## One step
//!
//! 1. The next entry of the agenda ([`agenda`], ordered by time, then number) is taken.
//! 2. Its room handles it: store, PostgreSQL, host, wire or client; what it sends goes through [`wire`].
//! 3. Every agent that was told something handles it, and its effects are started.
//! 4. The invariants ([`invariants`]) are judged against the *true* state, not against what anyone believes.
//!
//! ## Map of the code
//!
//! | room | files |
//! |---|---|
//! | the world | `world`, `agenda`, `due`, `apply`, `account` (queries of the truth), `truth`, `event`, `moment`, `streams`, `shape`, `act` |
//! | the fakes (held to real servers by `fidelity/`) | `store/` (revisions, transactions, leases, watches, servers), `pg/` (processes, WAL tree, control data, every operation), `wire`, `host`, `watchdog` (a host's device), `clock`, `app` (clients with numbered commits), `operator` |
//! | agents | `shell/` (drives one agent as the real shell does, fencer included), `patroni/` (a member that is run by Patroni) |
//! | judges | `invariants/` (one promise a file), `marks`, `sabotage` (deliberate bugs that prove a judge can convict) |
//! | stories | `plan`, `scenario/` (the language of `scenarios/`), `report/`, `campaign`, `tally`, `share`, `swarm`, `shrink`, `session` (a run by hand), `incident/` (recordings of real members as one story), `own_settings` and `outages` (what a user's settings cost), `command/` |
//!
//! ## What is deliberately absent
//!
//! Branches on roles, leases or lag outside the fakes and the judges; any channel by which an agent could learn the
//! truth. Assumptions that a plan breaks on purpose (clock rates, the stop bound, the store's promises) suspend the
//! invariants that rest on them, by name.

pub mod account;
pub mod act;
pub mod agenda;
pub mod app;
pub mod apply;
pub mod attempt;
pub mod campaign;
pub mod canaries;
pub mod clock;
pub mod command;
pub mod due;
pub mod event;
pub mod fidelity;
pub mod host;
pub mod incident;
pub mod invariants;
pub mod library;
pub mod marks;
pub mod moment;
pub mod operator;
pub mod outages;
pub mod own_settings;
pub mod patroni;
pub mod pg;
pub mod plan;
pub mod report;
pub mod sabotage;
pub mod scenario;
pub mod session;
pub mod shape;
pub mod share;
pub mod shell;
pub mod shrink;
pub mod store;
pub mod streams;
pub mod swarm;
pub mod tally;
pub mod trace;
pub mod truth;
pub mod watchdog;
pub mod wire;
pub mod world;
