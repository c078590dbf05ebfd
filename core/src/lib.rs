//! # Tanist's decision core
//!
//! The high-availability state machine of one member, as plain data and pure functions. Time, answers of the
//! store, observations of PostgreSQL and requests of people come in ([`input`]); effects ([`effect`]) and notes
//! with their reasons ([`note`]) come out. The production agent and the simulator drive this very code.
//!
//! ## Bird's eye
//!
//! ```text
//! Input ──> Agent::handle ──> fold     what is known:  store, local, lane, tenure, fencing, requests
//!                             duties   what is due anyway: renew, arm, publish, slots, probe
//!                             decide   one ordered tree -> one Decision with its reason
//!                             carry_out  the decision as effects, each at most once
//!                             wake     when to be asked again
//! ```
//!
//! It is level-triggered: each call judges the whole state anew. A deadline is only a safety net; watches, exits of
//! processes and finished operations wake it at once.
//!
//! ## Map of the code
//!
//! | room | files |
//! |---|---|
//! | the agent | `agent` (state and entry), `decide` (the tree), `decision` (every verdict and its words), `carry_out`, `wake` |
//! | write authority | `leader_key` (the arithmetic), `tenure` (session and key), `fencing` (the fencer's deadline) |
//! | the member's part | `election`, `handover`, `candidate`, `divergence` (has its WAL left the leader's?), `rejoin` (follow, rewind, clone), `founding`, `forgotten`, `silence` (a primary that lets nobody in), `pause`, `slots`, `params` |
//! | the store | `dcs` and `primitive` (vocabularies), `exchange` (one request to calls, ambiguous outcomes), `store` (what is known) |
//! | wire values | `cluster`, `member` (read by `member_fields`), `own_member` (what I say of myself), `keys`, `config`, `iso`: byte-compatible with Patroni 4.1.5, tolerant when reading |
//! | PostgreSQL | `postgres` (vocabulary), `local` (what is known), `lane` (one operation at a time), `lsn`, `timeline` |
//! | people | `operator`, `requests`, `wording`, `view`, `status`, `health`, `health_check`, `status_json`, `cluster_json`, `peer`, `peer_json` |
//! | the flight recorder | `record` (lines, sums, digests), `replay` (the first difference), `fields` (where two documents part) |
//!
//! ## Rules that hold everywhere
//!
//! - **Write authority is one value**, `Agent::authority()`: `until = s + ttl x (1 - rho) - stop - g`, where `s` is
//!   the send time of the last *confirmed* renewal. Promote, fencer, REST and the orderly stop read it, nothing else.
//! - **PostgreSQL is down only when no backend is left.** The postmaster's exit is a wake-up, never proof.
//! - **Unknown is a value.** A write without a verdict is neither done nor refused; a silent peer is not an absent
//!   one; a role that could not be asked for is the last known one.
//! - **The next dangerous step is issued when the last one is confirmed**: key, then fencer, then promote; stop, then
//!   the candidate's word, then release.
//! - **A copy is never destroyed without a policy or a command** that names it, nor before a leader is there.
//!
//! ## What is deliberately absent
//!
//! No clock, socket, thread, file, environment, float or hash map: `clippy.toml` bans them with their replacement, and
//! a test holds the dependencies to a short list. No secret: settings carry none. No retry loop of its own against the
//! store: that is the exchange's. Modes that this build does not have (`config::MissingMode`: synchronous modes,
//! failsafe, standby clusters, permanent slots) are not ignored: a member that finds one does not race, and says why.

pub mod agent;
pub mod candidate;
pub mod carry_out;
pub mod cluster;
pub mod cluster_json;
pub mod config;
pub mod copies;
pub mod dcs;
pub mod decide;
pub mod decision;
pub mod divergence;
pub mod effect;
pub mod election;
pub mod election_loss;
pub mod exchange;
pub mod fencer;
pub mod fencing;
pub mod fields;
pub mod forgotten;
pub mod founding;
pub mod handover;
pub mod health;
pub mod health_check;
pub mod input;
pub mod iso;
pub mod keys;
pub mod lane;
pub mod leader_key;
pub mod local;
pub mod lsn;
pub mod member;
mod member_fields;
pub mod name;
pub mod note;
pub mod one_timeline;
pub mod operator;
pub mod own_member;
pub mod params;
pub mod pause;
pub mod peer;
pub mod peer_json;
pub mod postgres;
pub mod primitive;
pub mod publish;
pub mod record;
pub mod rejoin;
pub mod replay;
pub mod requests;
pub mod rng;
pub mod settings;
pub mod shortfall;
pub mod silence;
pub mod slots;
pub mod status;
pub mod status_json;
pub mod store;
pub mod tenure;
pub mod time;
pub mod timeline;
pub mod view;
pub mod wake;
pub mod wording;
