//! The fake PostgreSQL: data directories, processes, WAL, replication, and the commands that work on them.
//! Knows nothing of agents or the store; it sees commands and time.
//!
//! What it has: a postmaster and backends with separate lifetimes; WAL as records on a tree of branches,
//! with inserted, flushed, received and replayed positions; the control file's states, the checkpoint
//! that lags a promotion and the minimum recovery point that lags a replay; crash recovery and the
//! consistency point; smart, fast and immediate stop, a fast stop waiting for sessions and for standbys;
//! promotion to the newest known timeline + 1; streaming with the checks that PostgreSQL makes (numbers and
//! positions, not content); base backup and rewind that take time, can be cut, and leave half-made
//! directories; slots, and what they retain of the WAL that checkpoints and restartpoints remove; an archive with its
//! commands; commits that wait for the standbys of `synchronous_standby_names`. What it has not: logical slots,
//! tablespaces, settings of a session (`synchronous_commit` is the server's).
//!
//! It is held to PostgreSQL 15 by a transcript (`fidelity/postgres`), step by step. What no script can time on a
//! real server is not in it, and rests on PostgreSQL's sources: what a promotion leaves that dies half-way, a backend
//! stuck in IO, a host that loses power, a source that is restarted while it is copied from.

pub mod archive;
pub mod commit;
pub mod connections;
pub mod copy;
pub mod instance;
pub mod lane;
pub mod limits;
pub mod observe;
pub mod processes;
pub mod promote;
pub mod retention;
pub mod standby_names;
pub mod start;
pub mod stop;
pub mod storage;
pub mod streaming;
pub mod synchronous;
pub mod wal;
