//! A whole cluster of real servers on this machine, its clients, its faults, and the check of what the
//! clients saw. The cluster tests and the demo stand on it; the agent never does.
//! Everything runs as an ordinary user, on free ports, in one folder that is removed at the end.

pub mod account;
pub mod checker;
pub mod clients;
pub mod cluster;
pub mod etcd;
pub mod flight;
pub mod folder;
pub mod haproxy;
pub mod http;
pub mod member;
pub mod network;
pub mod patroni;
pub mod ports;
pub mod process;
pub mod sql;
pub mod sweep;
pub mod template;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds of this host's wall clock: the one clock that clients here and `clock_timestamp()` of
/// every server share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub i64);

impl Stamp {
    pub fn now() -> Stamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Stamp(since.map_or(0, |d| d.as_micros() as i64))
    }

    /// Zero when `earlier` is not earlier.
    pub fn since(self, earlier: Stamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    pub fn minus(self, span: Duration) -> Stamp {
        Stamp(self.0 - span.as_micros() as i64)
    }
}

/// Looks until `look` finds something or `limit` is over; the last reason is the error.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(why) if Instant::now() >= end => {
                anyhow::bail!("{what}: not within {:.1} s: {why}", limit.as_secs_f64())
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
