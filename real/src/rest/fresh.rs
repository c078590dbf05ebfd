//! How does a member that is asked *now* answer with what is true now? `GET /patroni` is what peers compare in
//! an election, and the published view may be a whole loop_wait old. Knows nothing of how one looks.
//!
//! One look at a time, and one that ended a moment ago is shared: a monitor that asks often costs no sessions.

use crate::clock;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tanist_core::postgres::{Observation, Sql};
use tanist_core::time::{Mono, Span};
use tanist_core::view::View;
use tokio::sync::Mutex;

/// Looks at the local PostgreSQL within a bounded time. `None`: the look broke off.
pub type Look =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<Observation>> + Send>> + Send + Sync>;

/// For how long a look is shared.
const SHARED_FOR: Span = Span::millis(50);

pub struct Fresh {
    look: Look,
    last: Mutex<Option<(Mono, Option<Observation>)>>,
}

impl Fresh {
    pub fn new(look: Look) -> Fresh {
        Fresh {
            look,
            last: Mutex::new(None),
        }
    }

    /// The view with what PostgreSQL says at this moment; the view as it is where PostgreSQL says nothing.
    pub async fn view(&self, view: &View) -> View {
        let mut view = view.clone();
        if let Some((at, observation)) = self.observation().await {
            view.observed = Some(observation);
            view.observed_at = Some(at);
        }
        view
    }

    async fn observation(&self) -> Option<(Mono, Observation)> {
        let mut last = self.last.lock().await;
        let now = clock::mono();
        let stale = |at: &Mono| now.since(*at) > SHARED_FOR;
        if last.as_ref().is_none_or(|(at, _)| stale(at)) {
            // Its age counts from the beginning: what is reported was true then or later.
            *last = Some((now, (self.look)().await));
        }
        let (at, observation) = last.as_ref()?;
        let observation = observation.as_ref()?;
        match observation.sql {
            // No answer within a peer's patience; what was known before says more.
            Sql::Silent(_) | Sql::Refused(_) => None,
            Sql::NotRunning | Sql::Starting | Sql::ShuttingDown | Sql::Answered(_) => {
                Some((*at, observation.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tanist_core::agent::{Agent, Boot};
    use tanist_core::postgres::{DataDir, Processes};
    use tanist_core::settings::{LocalPostgres, Safety, Settings};
    use tanist_core::time::Now;
    use tanist_core::timeline::TimelineHistory;

    fn view() -> View {
        let settings = Settings {
            scope: "demo".into(),
            namespace: "service".into(),
            name: "a".into(),
            api_url: String::new(),
            conn_url: String::new(),
            proxy_url: None,
            tags: Default::default(),
            bootstrap: None,
            postgresql: LocalPostgres::default(),
            safety: Safety::default(),
        };
        Agent::new(settings, Boot::default(), 1, Now::default()).view()
    }

    fn seen(sql: Sql) -> Observation {
        Observation {
            data_dir: DataDir::Empty,
            processes: Processes::default(),
            sql,
            history: TimelineHistory::default(),
            other_lines: Vec::new(),
            promoted: Vec::new(),
            standby_signal: false,
            roles_owed: false,
            led_last: false,
            copy: None,
        }
    }

    /// Looks show `sql`, and are counted.
    fn looking(sql: Sql) -> (Fresh, Arc<AtomicU32>) {
        let looks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&looks);
        let fresh = Fresh::new(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let observation = seen(sql.clone());
            Box::pin(async move { Some(observation) })
        }));
        (fresh, looks)
    }

    #[tokio::test]
    async fn who_asks_hears_what_postgresql_says_now() {
        let (fresh, _) = looking(Sql::Starting);
        let shown = fresh.view(&view()).await;
        assert_eq!(shown.observed, Some(seen(Sql::Starting)));
        assert!(shown.observed_at.is_some());
    }

    #[tokio::test]
    async fn where_postgresql_is_silent_the_view_stands() {
        let (fresh, _) = looking(Sql::Silent("no answer".into()));
        assert_eq!(fresh.view(&view()).await, view());
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_a_look_and_a_later_one_gets_its_own() {
        let (fresh, looks) = looking(Sql::NotRunning);
        let view = view();
        for _ in 0..20 {
            fresh.view(&view).await;
        }
        let shared = looks.load(Ordering::Relaxed);
        assert!(shared < 20, "{shared}");
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        fresh.view(&view).await;
        assert!(looks.load(Ordering::Relaxed) > shared);
    }
}
