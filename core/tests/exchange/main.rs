//! Does an exchange ever take "no verdict" for "no", end late, or claim more time than was confirmed?
//! Tables for each rule, then laws over arbitrary answers of a small store that may lose, delay and refuse.

mod laws;
mod tables;
mod verdicts;
mod world;
