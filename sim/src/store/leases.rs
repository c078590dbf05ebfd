//! Leases, as the store's leader times them by its own clock.
//! Knows nothing of keys; who holds what is `keys.rs`.

use crate::moment::Moment;
use std::collections::BTreeMap;
use tanist_core::dcs::LeaseId;
use tanist_core::time::Span;

/// etcd grants no less than one and a half election timeouts, in whole seconds.
const SHORTEST: Span = Span::secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    ttl: Span,
    /// In true time, as the leader's clock makes it.
    expires_at: Moment,
    /// When the present leader last heard a keep-alive: what a frozen leader still remembers.
    kept_at: Moment,
}

#[derive(Clone, Debug, Default)]
pub struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    last: i64,
    /// The leader's clock runs fast by this many millionths.
    clock_ppm: i32,
}

impl Leases {
    /// Grants a lease; its ttl is what was asked in whole seconds, or the shortest allowed.
    pub fn grant(&mut self, now: Moment, asked: Span) -> (LeaseId, Span) {
        let ttl = Span::secs(asked.as_secs()).max(SHORTEST);
        self.last += 1;
        let lease = LeaseId(self.last);
        let expires_at = now + self.in_true_time(ttl);
        self.leases.insert(
            lease,
            Lease {
                ttl,
                expires_at,
                kept_at: now,
            },
        );
        (lease, ttl)
    }

    /// Lease ids are random in etcd: none is given twice, whatever was wiped or rolled back.
    pub fn numbering_after(mut self, former: &Leases) -> Leases {
        self.last = self.last.max(former.last);
        self.clock_ppm = former.clock_ppm;
        self
    }

    /// `None`: it does not exist. etcd answers that with success and no ttl.
    pub fn keep_alive(&mut self, now: Moment, lease: LeaseId) -> Option<Span> {
        let expires_at = now + self.in_true_time(self.ttl(lease)?);
        let held = self.leases.get_mut(&lease)?;
        held.expires_at = expires_at;
        held.kept_at = now;
        Some(held.ttl)
    }

    pub fn exists(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }
    pub fn ttl(&self, lease: LeaseId) -> Option<Span> {
        self.leases.get(&lease).map(|held| held.ttl)
    }
    pub fn expires_at(&self, lease: LeaseId) -> Option<Moment> {
        self.leases.get(&lease).map(|held| held.expires_at)
    }
    pub fn remove(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
    }
    pub fn ids(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// A new leader starts every lease anew, in full, and adds `extension` (etcd's `Promote`).
    pub fn prolong_all(&mut self, now: Moment, extension: Span) {
        let ppm = self.clock_ppm;
        for held in self.leases.values_mut() {
            held.expires_at = now + in_true_time(held.ttl, ppm) + extension;
            held.kept_at = now;
        }
    }

    pub fn set_clock_rate(&mut self, ppm: i32) {
        self.clock_ppm = ppm;
    }

    fn in_true_time(&self, ttl: Span) -> Span {
        in_true_time(ttl, self.clock_ppm)
    }
}

/// How long `ttl` on a clock that runs fast by `ppm` takes: shorter if it runs fast.
fn in_true_time(ttl: Span, ppm: i32) -> Span {
    let share = ttl.0 / 1_000_000 * u64::from(ppm.unsigned_abs());
    match ppm {
        0.. => Span(ttl.0.saturating_sub(share)),
        _ => Span(ttl.0.saturating_add(share)),
    }
}
