//! Rewrites the configuration of the running server and has it reload. Whether something waits for a
//! restart shows in the next look. Knows nothing of what changed.

use super::context::Work;
use super::process;
use super::render;
use super::trouble::{Outcome, Trouble};
use rustix::process::Signal;
use std::collections::BTreeMap;
use tanist_core::postgres::{Ended, StartAs};

/// The signal files are left alone: they decide what the next *start* is, not what runs now.
pub fn reconfigure(
    work: &Work,
    role: &StartAs,
    parameters: &BTreeMap<String, String>,
) -> Outcome<Ended> {
    render::write_files(work.settings(), role, parameters)?;
    match role {
        StartAs::Standby { upstream: Some(_) }
        | StartAs::OneTimeline {
            upstream: Some(_), ..
        } => {
            work.context.marks.forget_leading()?;
        }
        StartAs::Standby { upstream: None }
        | StartAs::OneTimeline { upstream: None, .. }
        | StartAs::Primary => {}
    }
    let Some(postmaster) = work.context.scan()?.postmaster else {
        return Err(Trouble::failed(
            "no postmaster to reload; the files are written",
        ));
    };
    process::signal(postmaster, Signal::HUP)
        .map_err(|e| Trouble::failed(format!("cannot signal the postmaster: {e}")))?;
    Ok(Ended::Done)
}
