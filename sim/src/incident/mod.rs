//! What really happened: the flight recordings of a cluster's members, merged into one story.
//!
//! - [`recording`]: one member's recording, read without judging it
//! - [`clocks`]: how the members' clocks stand to each other, by the revisions of the store that both have met. Wall
//!   clocks are not asked: on the day of an incident they are wrong
//! - [`story`]: what the inputs say of PostgreSQL and of the leader key, and the notes, as events of the one story
//! - [`deeds`]: what must have been done to a member for its recording to be what it is
//! - [`outages`]: when which member could not use the store, and whether that was the store's fault or a link's
//! - [`retold`]: all of that as a scenario
//!
//! Decides nothing: what an agent should have done instead is said by a replay.

pub mod clocks;
pub mod deeds;
pub mod outages;
pub mod recording;
pub mod retold;
pub mod story;
