//! The shell around each agent, as the real one is: it carries inputs in and effects out, one process a
//! member, and decides nothing. Knows nothing of what the effects are for.

pub mod calls;
pub mod fencing;
pub mod life;
pub mod outside;
pub mod patroni;
pub mod peers;
pub mod tasks;
pub mod watchdog;
pub mod watching;
