//! Which answer a method and a path ask for. Knows neither bodies nor the member.
//!
//! As in Patroni: the first segment of the path counts, a GET of anything unknown is a health check, and
//! HEAD and OPTIONS are health checks whatever the path.

use hyper::Method;
use tanist_core::health_check::Asked;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Health(Asked),
    Status,
    Cluster,
    History,
    Config,
    Trace,
    Recording,
    Change(Change),
    /// Patroni has it, this build has not.
    NotBuilt,
    /// Nobody has it.
    Unsupported,
}

/// The requests that change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    PatchConfig,
    PutConfig,
    Switchover,
    CancelSwitchover,
    Failover,
    Reinitialize,
    Restart,
}

pub fn route(method: &Method, path: &str) -> Route {
    let first = path.trim_start_matches('/').split('/').next();
    let first = first.unwrap_or_default();
    match *method {
        Method::GET => match first {
            "patroni" => Route::Status,
            "cluster" => Route::Cluster,
            "history" => Route::History,
            "config" => Route::Config,
            "trace" => Route::Trace,
            "recording" => Route::Recording,
            "metrics" | "failsafe" => Route::NotBuilt,
            _ => Route::Health(Asked::Get),
        },
        Method::HEAD | Method::OPTIONS => Route::Health(Asked::HeadOrOptions),
        Method::PATCH if first == "config" => Route::Change(Change::PatchConfig),
        Method::PUT if first == "config" => Route::Change(Change::PutConfig),
        Method::POST => match first {
            "switchover" => Route::Change(Change::Switchover),
            "failover" => Route::Change(Change::Failover),
            "reinitialize" => Route::Change(Change::Reinitialize),
            "restart" => Route::Change(Change::Restart),
            "reload" | "failsafe" | "citus" | "mpp" | "sigterm" => Route::NotBuilt,
            _ => Route::Unsupported,
        },
        Method::DELETE => match first {
            "switchover" => Route::Change(Change::CancelSwitchover),
            "restart" => Route::NotBuilt,
            _ => Route::Unsupported,
        },
        _ => Route::Unsupported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_of_the_path_counts() {
        for (method, path, expected) in [
            (Method::GET, "/", Route::Health(Asked::Get)),
            (Method::GET, "/patroni/x", Route::Status),
            (Method::GET, "/cluster", Route::Cluster),
            (Method::GET, "/restart", Route::Health(Asked::Get)),
            (
                Method::HEAD,
                "/patroni",
                Route::Health(Asked::HeadOrOptions),
            ),
            (
                Method::OPTIONS,
                "/config",
                Route::Health(Asked::HeadOrOptions),
            ),
            (Method::PATCH, "/config", Route::Change(Change::PatchConfig)),
            (Method::PATCH, "/patroni", Route::Unsupported),
            (
                Method::POST,
                "/switchover",
                Route::Change(Change::Switchover),
            ),
            (Method::POST, "/nonsense", Route::Unsupported),
            (
                Method::DELETE,
                "/switchover",
                Route::Change(Change::CancelSwitchover),
            ),
            (Method::DELETE, "/restart", Route::NotBuilt),
            (Method::TRACE, "/", Route::Unsupported),
        ] {
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }
}
