//! Rules as tables: a situation of an agent, and what follows from it. What takes its time, or several members, is told by
//! the scenarios; here is what no story comes by, and the exact bounds.

mod agent;
mod decide;
mod divergence;
mod election;
mod founding;
mod handover;
mod lane;
mod nouns;
mod one_timeline;
mod pause;
mod publish;
mod rejoin;
mod requests;
mod situation;
#[path = "../support/sql.rs"]
mod sql;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tenure;
