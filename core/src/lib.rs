//! # Tanist's decision core
//!
//! (architecture page)
pub mod agent;
pub mod cluster;
pub mod config;
pub mod dcs;
pub mod effect;
pub mod exchange;
pub mod fencer;
pub mod input;
pub mod keys;
pub mod leader_key;
pub mod lsn;
pub mod member;
pub mod name;
pub mod note;
pub mod operator;
pub mod peer;
pub mod postgres;
pub mod primitive;
pub mod record;
pub mod replay;
pub mod rng;
pub mod settings;
pub mod time;
pub mod timeline;
pub mod view;
