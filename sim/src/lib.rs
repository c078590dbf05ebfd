//! # The simulator
//!
//! (architecture page)
pub mod act;
pub mod agenda;
pub mod attempt;
pub mod campaign;
pub mod command;
pub mod event;
pub mod library;
pub mod marks;
pub mod moment;
pub mod plan;
pub mod report;
pub mod scenario;
pub mod shape;
pub mod shrink;
pub mod streams;
pub mod swarm;
pub mod trace;
pub mod truth;
pub mod world;
