//! The page of numbers, written from the rows and from nothing else.

use super::machine;
use super::rows::{Row, Summary, summary};
use crate::testbed::haproxy;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What an aim asks of the values of Tanist.
enum Aim {
    /// The median is at most this.
    AtMost(f64),
    /// No value is above this.
    NeverAbove(f64),
    /// The median is no worse than Patroni's.
    NoWorse,
}

struct Asked {
    what: &'static str,
    cell: &'static str,
    measure: &'static str,
    /// Whose terms explain a miss.
    terms: Option<&'static str>,
    aim: Aim,
}

const fn asked(
    what: &'static str,
    cell: &'static str,
    measure: &'static str,
    terms: Option<&'static str>,
    aim: Aim,
) -> Asked {
    Asked {
        what,
        cell,
        measure,
        terms,
        aim,
    }
}

const MULTI: Option<&str> = Some("multihost");
const PROXY: Option<&str> = Some("haproxy");
const AIMS: [Asked; 13] = [
    asked(
        "planned switchover, multi-host, s",
        "switchover",
        "outage_multihost_s",
        MULTI,
        Aim::AtMost(0.5),
    ),
    asked(
        "planned switchover, HAProxy, s",
        "switchover",
        "outage_haproxy_s",
        PROXY,
        Aim::AtMost(0.5),
    ),
    asked(
        "SIGTERM of the agent, multi-host, s",
        "sigterm",
        "outage_multihost_s",
        MULTI,
        Aim::AtMost(0.5),
    ),
    asked(
        "SIGTERM of the agent, HAProxy, s",
        "sigterm",
        "outage_haproxy_s",
        PROXY,
        Aim::AtMost(0.5),
    ),
    asked(
        "postmaster kill, multi-host, s",
        "pmkill",
        "outage_multihost_s",
        MULTI,
        Aim::AtMost(0.7),
    ),
    asked(
        "postmaster kill, HAProxy, s",
        "pmkill",
        "outage_haproxy_s",
        PROXY,
        Aim::AtMost(0.7),
    ),
    asked(
        "host loss, multi-host, s",
        "hostloss",
        "outage_multihost_s",
        MULTI,
        Aim::NoWorse,
    ),
    asked(
        "host loss, HAProxy, s",
        "hostloss",
        "outage_haproxy_s",
        PROXY,
        Aim::NoWorse,
    ),
    asked(
        "agent frozen: two primaries, s",
        "freeze",
        "two_primaries_s",
        None,
        Aim::NeverAbove(0.0),
    ),
    asked(
        "agent frozen: acknowledged rows lost",
        "freeze",
        "rows_lost",
        None,
        Aim::NoWorse,
    ),
    asked(
        "resident memory of a leader, MiB",
        "idle",
        "rss_leader_mib",
        None,
        Aim::AtMost(14.0),
    ),
    asked(
        "resident memory of a standby, MiB",
        "idle",
        "rss_standby_mib",
        None,
        Aim::AtMost(14.0),
    ),
    asked(
        "agent start to first REST answer, s",
        "start",
        "to_rest_s",
        None,
        Aim::AtMost(0.1),
    ),
];

pub fn render(rows: &[Row]) -> String {
    let mut page = String::from(
        "# Tanist beside Patroni\n\nWritten by `make bench` from the rows in `bench.tsv`; nothing here is typed by hand. \
         Each value: median (min-max, N).\n\n## Aims\n\n| measure | aim | Tanist | Patroni 4.1.5 | verdict |\n\
         |---|---|---|---|---|\n",
    );
    for asked in &AIMS {
        aim_line(&mut page, rows, asked);
    }
    page += &terms_table(rows);
    page += &all_values(rows);
    page += &METHOD.replace(
        "@HAPROXY@",
        &format!("{}; {}", haproxy::CHECKS, haproxy::RETRIES),
    );
    page += "\n## Machine\n\n";
    for line in machine::describe() {
        let _ = writeln!(page, "- {line}");
    }
    let told = |of: fn(&Row) -> &String| -> String {
        let all: BTreeSet<&str> = rows.iter().map(|row| of(row).as_str()).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(page, "- runs: {}", told(|row| &row.run));
    let _ = writeln!(page, "- Tanist at commit: {}", told(|row| &row.version));
    if let Some(load) = summary(rows, "machine", "load", "load_average") {
        let _ = writeln!(page, "- load average before a cell: {load}");
    }
    page
}

fn aim_line(page: &mut String, rows: &[Row], asked: &Asked) {
    let of = |agent| summary(rows, agent, asked.cell, asked.measure);
    let (tanist, patroni) = (of("tanist"), of("patroni"));
    let aim = match asked.aim {
        Aim::AtMost(limit) => format!("at most {limit}"),
        Aim::NeverAbove(limit) => format!("never above {limit}"),
        Aim::NoWorse => "no worse than Patroni".into(),
    };
    let verdict = match (tanist, holds(asked, tanist, patroni)) {
        (None, _) => "not measured".into(),
        (Some(_), None) => "nothing to compare with".into(),
        (Some(_), Some(true)) => "met".into(),
        (Some(_), Some(false)) => format!("missed{}", in_the_way(rows, asked)),
    };
    let _ = writeln!(
        page,
        "| {} | {aim} | {} | {} | {verdict} |",
        asked.what,
        shown(tanist),
        shown(patroni)
    );
}

/// `None`: there is nothing to judge by.
fn holds(asked: &Asked, tanist: Option<Summary>, patroni: Option<Summary>) -> Option<bool> {
    let tanist = tanist?;
    match asked.aim {
        Aim::AtMost(limit) => Some(tanist.median <= limit),
        Aim::NeverAbove(limit) => Some(tanist.max <= limit),
        Aim::NoWorse => patroni.map(|patroni| tanist.median <= patroni.median),
    }
}

const TERMS: [&str; 6] = ["detect", "lease", "elect", "promote", "restart", "route"];

/// The longest term of an outage, where its terms are known.
fn in_the_way(rows: &[Row], asked: &Asked) -> String {
    let Some(route) = asked.terms else {
        return String::new();
    };
    let known = TERMS.iter().filter_map(|term| {
        let found = summary(
            rows,
            "tanist",
            asked.cell,
            &format!("term_{term}_{route}_s"),
        )?;
        Some((term, found.median))
    });
    match known.max_by(|a, b| a.1.total_cmp(&b.1)) {
        None => String::new(),
        Some((term, longest)) => format!(": {term} takes {longest:.2} s"),
    }
}

fn terms_table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n## Where the time of Tanist goes\n\nFrom the fault to the first row that is acknowledged again, by the \
         flight recording of the member that took over. `detect`: until it saw a sign of the fault; `lease`: until the \
         old leader's key was gone; `elect`: until the key was its own; `promote`: until its PostgreSQL was the \
         primary; `restart`: until a killed PostgreSQL ran again; `route`: until the client was led there.\n\n\
         | fault | clients | detect | lease | elect | promote | restart | route |\n|---|---|---|---|---|---|---|---|\n",
    );
    for cell in ["switchover", "sigterm", "pmkill", "hostloss", "freeze"] {
        for (route, name) in [("multihost", "multi-host"), ("haproxy", "HAProxy")] {
            let of = |term: &str| summary(rows, "tanist", cell, &format!("term_{term}_{route}_s"));
            if TERMS.iter().all(|term| of(term).is_none()) {
                continue;
            }
            let cells: Vec<String> = TERMS.iter().map(|term| shown(of(term))).collect();
            let _ = writeln!(text, "| {cell} | {name} | {} |", cells.join(" | "));
        }
    }
    text
}

fn all_values(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n## All values\n\n| cell | measure | Tanist | Patroni 4.1.5 |\n|---|---|---|---|\n",
    );
    let mut seen = BTreeSet::new();
    for row in rows {
        let explained = row.measure.starts_with("term_") || row.agent == "machine";
        if explained || !seen.insert((&row.cell, &row.measure)) {
            continue;
        }
        let of = |agent| shown(summary(rows, agent, &row.cell, &row.measure));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.cell,
            row.measure,
            of("tanist"),
            of("patroni")
        );
    }
    text
}

fn shown(found: Option<Summary>) -> String {
    found.map_or_else(|| "-".into(), |found| found.to_string())
}

const METHOD: &str = "
## How

Both agents with the same file: ttl 20, loop_wait 1, retry_timeout 3 (the shortest that Patroni takes), asynchronous,
use_pg_rewind, use_slots, data checksums, maximum_lag_on_failover 1 MiB, one etcd, everything on tmpfs. Rounds alternate
between the agents, so that what else the machine does falls on both; each round begins with empty directories. Where
it may be made (root), each member has a network namespace of its own and a lost host is an unplugged link.

Load: two clients with several hosts (target_session_attrs=read-write) and two through HAProxy
(@HAPROXY@), each with one INSERT
every 10 ms; on each member a probe that tries to commit every 10 ms.

- `outage`: the longest pause between two acknowledged rows that ends after the fault; the worse of the two clients.
- `rows_lost`: acknowledged to a client, and not in the table of the last primary.
- `two_primaries_s`: from the first commit that the new primary acknowledged to the last that the old one began.
- `switchover`: POST /switchover. `sigterm`: of the leader's agent. `pmkill`: SIGKILL of the leader's postmaster.
  `hostloss`: the leader's link dead, agent, fencer and all of PostgreSQL killed at once; started again when the new
  leader serves. `freeze`: SIGSTOP of the leader's agent until 5 s after another member commits.
- `idle`: after 5 s without load, over 20 s; memory of Tanist is the sum of agent and fencer. `start`: a standby's
  agent killed and started beside its running PostgreSQL. `rest`: GET /primary of the leader, a connection for each
  request, 1 and 50 clients for 3 s.
";
