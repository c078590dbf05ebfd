//! Everything that only reads: health checks, status, cluster, history, configuration, recent decisions.
//! The view is judged at the moment of answering; nothing here asks PostgreSQL or the store.

use super::outcome::{Reply, Shape};
use serde::Serialize;
use serde_json::Value;
use tanist_core::cluster_json::ClusterBody;
use tanist_core::health::health;
use tanist_core::health_check::{Asked, Check, CheckKind};
use tanist_core::status_json::{StatusBody, TraceBody, history};
use tanist_core::time::Now;
use tanist_core::view::View;

/// As many decisions as `GET /trace` shows unless told otherwise.
const TRACE_LINES: usize = 50;

pub fn check(view: &View, now: Now, path: &str, query: &str, asked: Asked) -> Reply {
    let check = Check::read(path, query, asked);
    let bare = match (asked, check.kind) {
        (Asked::HeadOrOptions, _) => true,
        (Asked::Get, CheckKind::Liveness | CheckKind::Readiness) => true,
        (Asked::Get, _) => false,
    };
    let verdict = health(view, now, check);
    if bare {
        return Reply {
            code: verdict.code,
            shape: Shape::Bare,
            body: String::new(),
        };
    }
    json(verdict.code, &StatusBody::of(view, now))
}

pub fn status(view: &View, now: Now) -> Reply {
    json(200, &StatusBody::of(view, now))
}

pub fn cluster(view: &View) -> Reply {
    match &view.cluster {
        Some(cluster) => json(200, &ClusterBody::of(cluster, &view.scope)),
        None => Reply::text(503, "the DCS has not answered yet"),
    }
}

pub fn config(view: &View) -> Reply {
    match view.cluster.as_ref().and_then(|c| c.config.as_ref()) {
        Some(config) => json(200, config),
        None => Reply::text(502, "the cluster has no readable configuration"),
    }
}

pub fn timelines(view: &View) -> Reply {
    Reply {
        code: 200,
        shape: Shape::Json,
        body: history(view),
    }
}

pub fn trace(view: &View, now: Now, query: &str) -> Reply {
    let asked = query.split('&').find_map(|p| p.strip_prefix("n="));
    let lines_max = match asked.map(str::parse::<usize>) {
        None => TRACE_LINES,
        Some(Ok(n)) => n,
        Some(Err(_)) => return Reply::text(400, "n must be a number of lines"),
    };
    json(200, &TraceBody::of(view, now, lines_max))
}

fn json(code: u16, body: &impl Serialize) -> Reply {
    match serde_json::to_string(body) {
        Ok(body) => Reply {
            code,
            shape: Shape::Json,
            body,
        },
        Err(why) => Reply::text(500, format!("{}", Value::from(why.to_string()))),
    }
}
