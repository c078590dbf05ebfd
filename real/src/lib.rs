//! # The production agent
//!
//! Drives [`tanist_core`] against a real etcd and a real PostgreSQL. It decides nothing: a branch here on role, leader
//! key, lease, timeline or lag would be a defect.
//!
//! ## Processes on a host
//!
//! `tanist` (the agent, what a supervisor starts) starts `tanist-fencer`, which is the parent of the postmaster and
//! ends it, with every backend, at the deadline that the agent last moved, whatever the agent is doing. `tanistctl`
//! is the command line.
//!
//! ## Map of the code
//!
//! | room | what it answers |
//! |---|---|
//! | `agent/` | in which order the parts come to life, signals, logs, and how each effect reaches its adapter |
//! | `dcs/` | the etcd v3 adapter over the JSON gateway: endpoints, logins, calls, watch |
//! | `postgres/` | the operations on a real PostgreSQL: start, stop, promote, clone, rewind, look |
//! | `fencer/` | the fencer's process and protocol, and the agent's end of it |
//! | `recorder/` | the flight recorder: every input and what followed, within a cap, never blocking |
//! | `rest/`, `peers` | the REST interface, and the questions to the other members' |
//! | `ctl/` | one command of `tanistctl` a file |
//! | `settings/` | Patroni's YAML and environment, every problem with its line and remedy |
//! | `testbed/`, `demo/`, `bench/` | a whole cluster on loopback, started, harmed and judged; the demonstration; the benchmark |
//! | `sys` | the only `unsafe` code: the system calls that no crate wraps |
//!
//! ## What is deliberately absent
//!
//! Other stores than etcd v3, TLS on REST, callbacks, custom replica methods, watchdog devices: settings that ask for
//! them are refused or told with their line. A blocking file call on the agent's thread.

pub mod agent;
pub mod bench;
pub mod clock;
pub mod ctl;
pub mod dcs;
pub mod demo;
pub mod fencer;
pub mod peers;
pub mod postgres;
pub mod recorder;
pub mod rest;
pub mod secret;
pub mod settings;
pub mod sys;
pub mod testbed;
