//! Is the fake PostgreSQL like the real one? What both are asked, and in which words they answer.
//!
//! - `step`: what can be done to a server: the operations and side tasks of the agent's adapter, and what happens past it.
//! - `answer`, `names`: what is seen of it, without positions, process numbers and names that are chance.
//! - `script`: the steps, in chapters. `fake`: how the fakes play them. `wrong`: fakes that are wrong on purpose.
//!
//! The real side is `real/tests/postgres_contract/fidelity.rs`, the transcript `sim/tests/fidelity/postgres.jsonl`.

pub mod answer;
pub mod fake;
pub mod names;
pub mod script;
pub mod step;
pub mod wrong;

/// A step with the answer of the servers.
pub type Line = super::transcript::Line<step::Step, answer::Answer>;
