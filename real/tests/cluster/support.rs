//! What the tests of the whole cluster share: the binaries under test and the pace they run at.

use std::path::Path;
use tanist::testbed::cluster::{Cluster, Plan};
use tanist::testbed::template::Pace;

/// The pace of this run: `TANIST_PACE=default` is what `make test-all` adds.
pub fn pace() -> Pace {
    match std::env::var("TANIST_PACE").as_deref() {
        Ok("default") => Pace::Default,
        Ok("floor") => Pace::Floor,
        Ok("fast") | Err(_) => Pace::Fast,
        Ok(other) => panic!("TANIST_PACE={other}: fast, floor or default"),
    }
}

pub fn plan() -> Plan {
    Plan::three(Path::new(env!("CARGO_BIN_EXE_tanist")), pace())
}

pub fn healthy_cluster() -> Cluster {
    Cluster::start(&plan()).unwrap_or_else(|why| panic!("{why:?}"))
}
