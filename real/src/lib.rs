//! # The production agent
//!
//! (architecture page)
pub mod secret;
pub mod settings;
