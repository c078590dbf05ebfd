//! # Tanist's decision core
//!
//! (architecture page)
pub mod dcs;
pub mod effect;
pub mod fencer;
pub mod input;
pub mod lsn;
pub mod name;
pub mod operator;
pub mod peer;
pub mod postgres;
pub mod primitive;
pub mod settings;
pub mod time;
pub mod timeline;
