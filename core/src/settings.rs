//! What one member was configured with locally: its name, its addresses, its tags, its policies.
//! Read and checked outside; holds no secret. The cluster-wide settings are in `config.rs`.

use crate::name::MemberName;
use crate::time::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub scope: String,
    pub namespace: String,
    pub name: MemberName,
    /// `http(s)://HOST:PORT/patroni`: where peers ask this member.
    pub api_url: String,
    /// `postgres://HOST:PORT/DB`: where clients and standbys reach this member. Never with a password.
    pub conn_url: String,
    pub proxy_url: Option<String>,
    /// Tags as configured (`nofailover`, `failover_priority`, `clonefrom`, custom ones).
    pub tags: Map<String, Value>,
    /// `bootstrap.dcs`: the first dynamic configuration. `None`: this member never founds a cluster.
    pub bootstrap: Option<Map<String, Value>>,
    pub postgresql: LocalPostgres,
    pub safety: Safety,
}

/// `postgresql:` of the local file, as far as decisions rest on it. Each value overrides the dynamic one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPostgres {
    pub use_pg_rewind: Option<bool>,
    pub remove_data_directory_on_rewind_failure: Option<bool>,
    pub remove_data_directory_on_diverged_timelines: Option<bool>,
    /// `postgresql.parameters`, as text; parameters that Tanist controls are ignored here.
    pub parameters: BTreeMap<String, String>,
}

/// The terms of the write authority's deadline that this host owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Safety {
    pub fencer: FencerMode,
    /// From the decision to stop at once until no backend is left. What it takes at least is measured when a fencer
    /// starts; the agent warns where that is more.
    pub stop_budget: Span,
    /// How much the clocks of this host and of the store may differ in rate, in millionths.
    pub clock_drift_ppm: u32,
    /// The store's own allowance `g` (0.5 s for etcd v3).
    pub store_margin: Span,
    /// Timings below Patroni's floors were asked for under Tanist's own key.
    pub fast_timing: bool,
}

impl Default for Safety {
    fn default() -> Safety {
        Safety {
            fencer: FencerMode::Auto,
            stop_budget: Span::secs(2),
            clock_drift_ppm: 5_000,
            store_margin: Span::millis(500),
            fast_timing: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FencerMode {
    /// No fencer: a frozen or dead agent leaves its PostgreSQL writing.
    Off,
    /// Use it; go on without it when it cannot be started, and say so.
    Auto,
    /// No fencer, no leadership.
    Required,
}
