//! The members of a cluster, byte for byte as patronictl 4.1.5 prints them: a table, tab-separated values,
//! JSON or YAML. Renders one reading of the store; asks nobody.

use super::in_order::{InOrder, objects};
use super::table::{Align, Column, draw};
use super::{python_json, yaml};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use tanist_core::cluster::{Cluster, Initialize};
use tanist_core::cluster_json::{ClusterBody, Lag, MemberRole, MemberRow, Positions, Reached};
use tanist_core::dcs::Snapshot;
use tanist_core::keys;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Pretty,
    Tsv,
    Json,
    Yaml,
    Yml,
}

/// Whether the columns that are mostly empty are shown all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    AsNeeded,
    Extended,
}

/// What the commands that change something show first: the plain table.
pub fn table(snapshot: &Snapshot, name: &str) -> String {
    render(snapshot, name, Format::Pretty, Columns::AsNeeded)
}

/// The whole output, final line break included.
pub fn render(snapshot: &Snapshot, name: &str, format: Format, columns: Columns) -> String {
    let cluster = Cluster::read(snapshot);
    let body = ClusterBody::of(&cluster, name);
    let extras = extras(&body, columns);
    let shown = Shown {
        name,
        format,
        with_port: needs_port(&body),
    };
    let rows = body.members.iter().map(|row| {
        let text = snapshot.keys.get(&keys::member_key(&row.name));
        let objects = text.map(|kv| objects(&kv.value)).unwrap_or_default();
        shown.row(row, &objects, &extras)
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    let titles: Vec<&'static str> = COLUMNS.iter().copied().chain(extras).collect();
    match format {
        Format::Pretty => pretty(&cluster, &body, &titles, &rows),
        Format::Tsv => tsv(&titles, &rows),
        Format::Json => python_json::to_string(&elements(&titles, &rows)) + "\n",
        Format::Yaml | Format::Yml => yaml::block(&as_value(&titles, &rows)) + "\n",
    }
}

const COLUMNS: [&str; 10] = [
    "Cluster",
    "Member",
    "Host",
    "Role",
    "State",
    "TL",
    "Receive LSN",
    "Receive Lag",
    "Replay LSN",
    "Replay Lag",
];
const PENDING: &str = "Pending restart";
const REASON: &str = "Pending restart reason";
const SCHEDULED: &str = "Scheduled restart";
const TAGS: &str = "Tags";

/// The columns that are shown when asked for, or when some member with an address has something there.
fn extras(body: &ClusterBody, columns: Columns) -> Vec<&'static str> {
    let filled = |value: &Option<Value>| match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Object(m)) => !m.is_empty(),
        Some(Value::String(s)) => !s.is_empty(),
        Some(Value::Bool(true) | Value::Number(_) | Value::Array(_)) => true,
    };
    let has = |extra: &str, row: &MemberRow| match extra {
        PENDING => row.pending_restart == Some(true),
        REASON => filled(&row.pending_restart_reason),
        SCHEDULED => filled(&row.scheduled_restart),
        _ => row.tags.as_ref().is_some_and(|tags| !tags.is_empty()),
    };
    let addressed = || body.members.iter().filter(|row| row.host.is_some());
    [PENDING, REASON, SCHEDULED, TAGS]
        .into_iter()
        .filter(|extra| columns == Columns::Extended || addressed().any(|row| has(extra, row)))
        .collect()
}

/// Hosts alone tell members apart only on different hosts, all at PostgreSQL's own port.
fn needs_port(body: &ClusterBody) -> bool {
    let hosts: Vec<_> = body
        .members
        .iter()
        .filter_map(|r| r.host.as_ref())
        .collect();
    let different: BTreeSet<_> = hosts.iter().collect();
    let odd_port = body
        .members
        .iter()
        .any(|r| r.port.is_some_and(|p| p != 5432));
    odd_port || different.len() < hosts.len()
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Cell {
    Text(String),
    Number(u64),
    Tags(Tags),
}

/// Tags as their member wrote them.
#[derive(Clone, Debug, PartialEq)]
struct Tags(InOrder);

impl Serialize for Tags {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.0.iter().map(|(k, v)| (k, v)))
    }
}

impl Cell {
    fn is_empty(&self) -> bool {
        matches!(self, Cell::Text(text) if text.is_empty())
    }

    fn to_value(&self) -> Value {
        match self {
            Cell::Text(text) => Value::from(text.clone()),
            Cell::Number(n) => Value::from(*n),
            Cell::Tags(tags) => tags.0.to_value(),
        }
    }

    fn shown(&self, tags: impl Fn(&Value) -> String) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Number(n) => n.to_string(),
            Cell::Tags(inner) => tags(&inner.0.to_value()).trim().to_string(),
        }
    }
}

struct Shown<'a> {
    name: &'a str,
    format: Format,
    with_port: bool,
}

impl Shown<'_> {
    fn row(
        &self,
        row: &MemberRow,
        objects: &BTreeMap<String, InOrder>,
        extras: &[&str],
    ) -> Vec<Cell> {
        let host = match (&row.host, row.port) {
            (Some(host), Some(port)) if self.with_port => format!("{host}:{port}"),
            (Some(host), _) => host.clone(),
            (None, _) => String::new(),
        };
        let mut cells = vec![
            Cell::Text(self.name.into()),
            Cell::Text(row.name.to_string()),
            Cell::Text(host),
            Cell::Text(role(row.role).into()),
            Cell::Text(row.state.clone()),
            row.timeline
                .map_or(Cell::Text(String::new()), |t| Cell::Number(t.into())),
        ];
        cells.extend(positions(row));
        for extra in extras {
            cells.push(match *extra {
                PENDING if row.pending_restart == Some(true) => Cell::Text("*".into()),
                REASON => Cell::Text(self.reason(objects.get("pending_restart_reason"))),
                SCHEDULED => Cell::Text(scheduled(row.scheduled_restart.as_ref())),
                TAGS => match objects.get("tags") {
                    Some(tags) if !tags.0.is_empty() => Cell::Tags(Tags(tags.clone())),
                    Some(_) | None => Cell::Text(String::new()),
                },
                _ => Cell::Text(String::new()),
            });
        }
        cells
    }

    fn reason(&self, reasons: Option<&InOrder>) -> String {
        let text = |value: &Value, key: &str| {
            let found = value.get(key).and_then(Value::as_str);
            found.unwrap_or_default().to_string()
        };
        let line = |(parameter, value): &(String, Value)| {
            let (old, new) = (text(value, "old_value"), text(value, "new_value"));
            let whole = format!("{parameter}: {old}->{new}");
            if self.format == Format::Pretty && whole.chars().count() > 50 {
                format!("{parameter}: [hidden - too long]")
            } else {
                whole
            }
        };
        let lines = reasons.map(|r| r.0.iter().map(line).collect::<Vec<_>>());
        lines.unwrap_or_default().join("\n")
    }
}

fn role(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Leader => "Leader",
        MemberRole::StandbyLeader => "Standby Leader",
        MemberRole::SyncStandby => "Sync Standby",
        MemberRole::QuorumStandby => "Quorum Standby",
        MemberRole::Replica => "Replica",
    }
}

fn scheduled(restart: Option<&Value>) -> String {
    let field = |key: &str| restart.and_then(|r| r.get(key)).and_then(Value::as_str);
    let schedule = field("schedule").unwrap_or_default();
    match field("postgres_version") {
        Some(version) => format!("{schedule} if version < {version}"),
        None => schedule.to_string(),
    }
}

/// Received position and lag, replayed position and lag.
fn positions(row: &MemberRow) -> [Cell; 4] {
    let Some(p) = &row.positions else {
        return std::array::from_fn(|_| Cell::Text(String::new()));
    };
    let old_agent = matches!(
        p,
        Positions {
            receive_lsn: Reached::Unknown,
            replay_lsn: Reached::Unknown,
            lsn: Reached::At(_),
            ..
        }
    );
    let (received, replayed) = match (old_agent, row.state == "streaming") {
        (false, _) => ((p.receive_lsn, p.receive_lag), (p.replay_lsn, p.replay_lag)),
        // Agents before 4.1 tell one position only: what was received while streaming, else what was replayed.
        (true, true) => ((p.lsn, p.lag), (p.replay_lsn, p.replay_lag)),
        (true, false) => ((p.receive_lsn, p.receive_lag), (p.lsn, p.lag)),
    };
    [
        reached(received.0),
        megabytes(received.1),
        reached(replayed.0),
        megabytes(replayed.1),
    ]
}

fn reached(at: Reached) -> Cell {
    Cell::Text(match at {
        Reached::At(lsn) => lsn.to_string(),
        Reached::Unknown => "unknown".into(),
    })
}

/// Rounded half to even, as Python rounds.
fn megabytes(lag: Lag) -> Cell {
    let Lag::Bytes(bytes) = lag else {
        return Cell::Text(String::new());
    };
    let (whole, rest) = (bytes >> 20, bytes & 0xF_FFFF);
    let up = rest > 1 << 19 || (rest == 1 << 19 && whole % 2 == 1);
    Cell::Number(whole + u64::from(up))
}

fn pretty(
    cluster: &Cluster,
    body: &ClusterBody,
    titles: &[&'static str],
    rows: &[Vec<Cell>],
) -> String {
    let identity = match &cluster.initialize {
        Initialize::Absent => "uninitialized".to_string(),
        Initialize::InProgress { .. } => "initializing".to_string(),
        Initialize::Done(system_id) => system_id.0.clone(),
        Initialize::Unreadable(_) => cluster
            .unreadable
            .get(keys::INITIALIZE)
            .cloned()
            .unwrap_or_default(),
    };
    let title = format!(" Cluster: {} ({identity}) ", body.scope);
    // The cluster's name stands in the title.
    let columns: Vec<Column> = titles.iter().skip(1).map(|title| column(title)).collect();
    let text = |cell: &Cell| cell.shown(yaml::block);
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().skip(1).map(text).collect())
        .collect();
    format!("{}\n{}", draw(&title, &columns, &rows), footer(body))
}

fn column(title: &'static str) -> Column {
    let (title, align) = match title {
        "Receive Lag" | "Replay Lag" => ("Lag", Align::Right),
        "TL" | "Receive LSN" | "Replay LSN" => (title, Align::Right),
        other => (other, Align::Left),
    };
    Column { title, align }
}

fn footer(body: &ClusterBody) -> String {
    let mut footer = String::new();
    if body.pause == Some(true) {
        footer.push_str(" Maintenance mode: on\n");
    }
    if let Some(switchover) = &body.scheduled_switchover {
        footer.push_str(&format!(" Switchover scheduled at: {}\n", switchover.at));
        for (word, name) in [("from", &switchover.from), ("to", &switchover.to)] {
            if let Some(name) = name {
                footer.push_str(&format!("{word:>24}: {name}\n"));
            }
        }
    }
    footer
}

fn tsv(titles: &[&str], rows: &[Vec<Cell>]) -> String {
    let line = |cells: Vec<String>| cells.join("\t") + "\n";
    let mut text = line(titles.iter().map(|t| t.to_string()).collect());
    for row in rows {
        text.push_str(&line(row.iter().map(|c| c.shown(yaml::flow)).collect()));
    }
    text
}

/// One object a member; empty cells are left out.
fn elements(titles: &[&str], rows: &[Vec<Cell>]) -> Vec<Element> {
    let element = |row: &Vec<Cell>| {
        let pairs = titles.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        Element(pairs.map(|(t, c)| (t.to_string(), c.clone())).collect())
    };
    rows.iter().map(element).collect()
}

struct Element(Vec<(String, Cell)>);

impl Serialize for Element {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

fn as_value(titles: &[&str], rows: &[Vec<Cell>]) -> Value {
    let objects = elements(titles, rows).into_iter().map(|element| {
        let pairs = element
            .0
            .iter()
            .map(|(k, cell)| (k.clone(), cell.to_value()));
        Value::Object(pairs.collect::<Map<_, _>>())
    });
    Value::Array(objects.collect())
}
