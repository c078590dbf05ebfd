//! # The production agent
//!
//! (architecture page)
pub mod agent;
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
