//! Are the fakes like the real thing? Transcripts recorded from real servers, and how both sides play them.
//!
//! A script is a list of steps, in code here; a transcript is the script with what a real server answered to each step,
//! kept below `sim/tests/fidelity/`. Tests of `real` play the script on real servers and compare (or, asked to, write the
//! transcript anew: `make fidelity`); tests here play it on the fakes. A step that a fake answers otherwise is named.

pub mod names;
pub mod postgres;
pub mod store_script;
pub mod transcript;
