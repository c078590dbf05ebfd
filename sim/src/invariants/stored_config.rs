//! The dynamic configuration that judges go by: the last one in the store that could be read. One that vanished or was
//! garbled stays in force with those who knew it. Judges nothing itself.

use crate::moment::Moment;
use crate::world::{Maintenance, World};
use tanist_core::config::Config;
use tanist_core::keys::CONFIG;
use tanist_core::time::Span;

/// Who decides may still go by the configuration of so long ago: its last look through the quorum, and a promotion
/// that takes its time.
const KNOWN_LATE: Span = Span::secs(60);

/// What the store said last, and what it had said before.
#[derive(Clone, Debug, Default)]
pub struct StoredConfig {
    now: Option<Config>,
    before: Option<(Config, Moment)>,
}

impl World {
    /// The store's configuration was written or deleted.
    pub(crate) fn note_config(&mut self) {
        let text = self.store.get(CONFIG).map(|kv| kv.value.as_str());
        let Some(stored) = text.and_then(|text| serde_json::from_str(text).ok()) else {
            return;
        };
        let config = Config::read(&stored, false);
        self.maintenance = match config.paused {
            true => Maintenance::Paused,
            false => Maintenance::Off,
        };
        let now = self.now();
        let known = &mut self.oracle.evidence.config;
        let last = known.now.replace(config);
        known.before = last.map(|config| (config, now));
    }

    /// What holds for the cluster now.
    pub(crate) fn config_in_force(&self) -> Config {
        let known = self.oracle.evidence.config.now.clone();
        known.unwrap_or_else(|| Config::read(&Default::default(), false))
    }

    /// The greatest `maximum_lag_on_failover` that who promotes now may have gone by.
    pub(crate) fn lag_allowed(&self) -> u64 {
        let now = self.now();
        let before = self.oracle.evidence.config.before.as_ref();
        let recent = before.filter(|(_, until)| now.since(*until) < KNOWN_LATE);
        let recent = recent.map_or(0, |(config, _)| config.maximum_lag_on_failover);
        recent.max(self.config_in_force().maximum_lag_on_failover)
    }
}
