//! # The simulator
//!
//! (architecture page)
pub mod act;
pub mod agenda;
pub mod event;
pub mod marks;
pub mod moment;
pub mod plan;
pub mod scenario;
pub mod shape;
pub mod streams;
pub mod truth;
pub mod world;
