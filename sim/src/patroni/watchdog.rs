//! When a Patroni opens its watchdog device, keeps it alive and closes it (2.24). Knows nothing of what a device does to a
//! host: it is told which timeout it took.
//!
//! 1. Before it may lead it opens the device and sets a timeout shorter than the ttl (2.14 E1, 2.5). What cannot be had then
//!    is not tried again until its agent starts anew: where a device is required it stands back from now on, and says so;
//!    elsewhere it leads unwatched.
//! 2. After each confirmed renewal of the leader key it keeps it alive, and sets what the ttl has become. While the store is
//!    asked, and asked again, it does not.
//! 3. It closes it once the last session of a server that it stops is gone, in pause, and where it finds its server down.
//!    What becomes of a leader that loses its key as a standby is not among these: its device runs out.
//! 4. A device that takes a longer timeout than it was asked for stays open. Where one is required the key is given back for
//!    that, once: the next time it is only asked whether the device runs, and it does (patroni/ha.py, enforce_primary_role).
//!
//! So its device can outlive its key: where it stood still between a renewal and the keepalive, and where it is killed later
//! than its safety margin after a renewal, since the kernel then keeps the device alive once more.

use super::Kept;
use super::asks::{Asks, Kernel, Run, Said, Sessions};
use crate::shape::WatchdogMode;
use crate::watchdog::{Call, Refused};
use tanist_core::time::Span;

/// What its file says, and whether the path of the device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub mode: WatchdogMode,
    /// `safety_margin`; `None`: -1, half the ttl.
    pub margin: Option<Span>,
    pub device: Path,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Exists,
    Missing,
}

/// What it has in its hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Closed,
    /// With the timeout that was asked for.
    Open {
        wanted: Span,
    },
    /// It could not be had (`NullWatchdog`): for the rest of the agent's life there is none.
    GivenUp,
}

/// How often it looks whether a session is left, and for how long at most: a stop is over before.
const LOOKS_EVERY: Span = Span::secs(1);
const LOOKS_MAX: u32 = 200;

fn timeout(kept: &Kept) -> Span {
    let ttl = kept.tunes.ttl;
    match kept.me.watchdog.margin {
        Some(margin) => ttl.saturating_sub(margin),
        None => Span::secs(ttl.as_secs() / 2),
    }
}

/// Could it lead, as far as can be seen without opening anything (2.10 H11)? Others are told where it could not.
pub fn is_healthy(kept: &Kept) -> bool {
    let settings = kept.me.watchdog;
    let there = settings.device == Path::Exists;
    let given_up = kept.device == Device::GivenUp;
    settings.mode != WatchdogMode::Required || (there && has_slack(kept) && !given_up)
}

pub fn is_running(kept: &Kept) -> bool {
    match kept.device {
        Device::Open { .. } => true,
        Device::Closed | Device::GivenUp => false,
    }
}

/// A loop fits into the timeout.
fn has_slack(kept: &Kept) -> bool {
    timeout(kept) >= kept.tunes.loop_wait
}

/// Opens the device, unless it is open or given up. `false`: this member must not lead without.
pub fn activate(a: &mut Asks) -> Run<bool> {
    let kept = a.recall();
    let optional = match kept.me.watchdog.mode {
        WatchdogMode::Off => return Ok(true),
        WatchdogMode::Automatic => true,
        WatchdogMode::Required => false,
    };
    match kept.device {
        Device::Open { .. } => return Ok(true),
        Device::GivenUp => return Ok(optional),
        Device::Closed => {}
    }
    let wanted = timeout(&kept);
    let there = kept.me.watchdog.device == Path::Exists;
    if !there || !has_slack(&kept) || ask(a, Call::Open)?.is_err() {
        give_up(a);
        return Ok(optional);
    }
    a.keep(|k| k.device = Device::Open { wanted });
    match ask(a, Call::SetTimeout(wanted))? {
        // It would fire in good health.
        Ok(taken) if taken < kept.tunes.loop_wait => {
            disable(a)?;
            give_up(a);
        }
        Ok(taken) => return Ok(optional || taken <= wanted),
        // Nobody closes what is given up: it runs, and is kept alive no more.
        Err(_) => give_up(a),
    }
    Ok(optional)
}

fn give_up(a: &mut Asks) {
    a.keep(|k| k.device = Device::GivenUp);
}

/// The leader key was confirmed.
pub fn keep_alive(a: &mut Asks) -> Run<()> {
    let kept = a.recall();
    let Device::Open { wanted: before } = kept.device else {
        return Ok(());
    };
    let wanted = timeout(&kept);
    ask(a, Call::KeepAlive)?.ok();
    if wanted != before {
        ask(a, Call::SetTimeout(wanted))?.ok();
        a.keep(|k| k.device = Device::Open { wanted });
    }
    Ok(())
}

pub fn disable(a: &mut Asks) -> Run<()> {
    if !is_running(&a.recall()) {
        return Ok(());
    }
    ask(a, Call::MagicClose)?.ok();
    a.keep(|k| k.device = Device::Closed);
    Ok(())
}

/// Beside a stop (2.22): no session is left that could commit, whatever else the server still has to do.
pub fn at_safepoint(a: &mut Asks) -> Run<()> {
    for _ in 0..LOOKS_MAX {
        if !is_running(&a.recall()) {
            return Ok(());
        }
        if let Said::Sessions(Sessions::Over) = a.kernel(Kernel::LookForSessions)? {
            return disable(a);
        }
        a.sleep(LOOKS_EVERY)?;
    }
    Ok(())
}

fn ask(a: &mut Asks, call: Call) -> Run<Result<Span, Refused>> {
    match a.kernel(Kernel::Watchdog(call))? {
        Said::Watchdog(verdict) => Ok(verdict),
        _other => Ok(Err(Refused::Missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patroni::Me;
    use crate::patroni::tunes::Tunes;
    use serde_json::{Map, json};
    use tanist_core::name::MemberName;

    fn kept(ttl: u64, loop_wait: u64, watchdog: Settings) -> Kept {
        let me = Me {
            scope: "sim".into(),
            name: MemberName::from("a"),
            api_url: String::new(),
            conn_url: String::new(),
            tags: Map::new(),
            bootstrap: None,
            watchdog,
        };
        let mut kept = Kept::new(me);
        let mut config = Map::new();
        for (name, value) in [("ttl", ttl), ("loop_wait", loop_wait), ("retry_timeout", 3)] {
            config.insert(name.into(), json!(value));
        }
        kept.tunes = Tunes::read(&config);
        kept
    }

    #[test]
    fn the_timeout_is_the_ttl_less_its_margin_and_a_loop_must_fit_into_it() {
        let five = Some(Span::secs(5));
        for (ttl, loop_wait, margin, timeout_is, healthy) in [
            (30, 10, five, 25, true),
            (21, 10, five, 16, true),
            (30, 10, None, 15, true),
            (21, 10, None, 10, true),
            (21, 11, None, 10, false),
            (30, 10, Some(Span::secs(40)), 0, false),
        ] {
            let settings = |mode, device| Settings {
                mode,
                margin,
                device,
            };
            let must = settings(WatchdogMode::Required, Path::Exists);
            let must = kept(ttl, loop_wait, must);
            assert_eq!(timeout(&must), Span::secs(timeout_is));
            assert_eq!(is_healthy(&must), healthy, "ttl {ttl}, loop {loop_wait}");
            let without = settings(WatchdogMode::Required, Path::Missing);
            assert!(!is_healthy(&kept(ttl, loop_wait, without)));
            let may = settings(WatchdogMode::Automatic, Path::Missing);
            assert!(is_healthy(&kept(ttl, loop_wait, may)));
        }
    }

    #[test]
    fn what_was_given_up_is_missed_only_where_it_is_required() {
        for (mode, healthy) in [
            (WatchdogMode::Required, false),
            (WatchdogMode::Automatic, true),
            (WatchdogMode::Off, true),
        ] {
            let settings = Settings {
                mode,
                margin: None,
                device: Path::Exists,
            };
            let mut kept = kept(30, 10, settings);
            assert!(is_healthy(&kept), "{mode:?}");
            kept.device = Device::GivenUp;
            assert_eq!(is_healthy(&kept), healthy, "{mode:?}");
        }
    }
}
