//! Scenarios: a run told in the words of PostgreSQL HA, read from text, written back to it, carried out.

pub mod acts;
pub mod claims;
pub mod fact;
pub mod judge;
pub mod lex;
pub mod line;
pub mod options;
pub mod parse;
pub mod print;
pub mod run;
