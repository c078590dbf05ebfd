//! The race for a free leader key: am I the healthiest (2.9 to 2.12)? Every member that it knows is asked over REST; who does
//! not answer does not count. Knows nothing of how the key is taken.

use super::asks::{Asks, Run};
use super::cycle::Server;
use super::dcs;
use super::keys::{Failover, Seen, tags_of};
use super::{Kept, follow, lead, watchdog};
use serde_json::Value;
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::peer::{PeerAnswer, PeerRequest, PeerStatus};
use tanist_core::postgres::{Observation, SqlStatus};
use tanist_core::time::Span;

const PEER_TIMEOUT: Span = Span::secs(2);

/// Nobody holds the key.
pub fn unlocked(a: &mut Asks, seen: &Seen, here: &Observation, server: &Server) -> Run<()> {
    let kept = a.recall();
    if is_healthiest(a, seen, here, server)? {
        if !dcs::acquire(a)? {
            let seen = dcs::read_cluster(a)?;
            return follow::follow(a, &seen, here, server);
        }
        if let Some(failover) = &seen.failover {
            let left = match (&failover.leader, &failover.candidate) {
                (Some(_), Some(candidate)) if kept.tunes.paused => {
                    serde_json::json!({"member": candidate.0}).to_string()
                }
                _all => "{}".to_string(),
            };
            dcs::write_at(a, "failover", &left, failover.version)?;
        }
        return lead::enforce(a, seen, here, server);
    }
    let named = seen
        .failover
        .as_ref()
        .is_some_and(|f| f.candidate.is_some());
    let (barred, _) = tags_of(&own(&kept));
    if named || (barred && !kept.tunes.paused) {
        follow::arm(a);
        a.sleep(Span::secs(2))?;
    }
    follow::follow(a, seen, here, server)
}

fn own(kept: &Kept) -> Value {
    serde_json::json!({ "tags": kept.me.tags })
}

/// The gates, in their order.
fn is_healthiest(a: &mut Asks, seen: &Seen, here: &Observation, server: &Server) -> Run<bool> {
    let kept = a.recall();
    let paused = kept.tunes.paused;
    let (barred, _) = tags_of(&own(&kept));
    let unscheduled = seen.failover.as_ref().filter(|f| f.scheduled_at.is_none());
    if let Some(failover) = unscheduled.filter(|_| paused && !barred)
        && let Some(verdict) = asked_for(a, seen, failover, server)?
    {
        return Ok(verdict);
    }
    let standby = match server {
        Server::Down | Server::Starting => return Ok(false),
        Server::Primary(_) if paused => {
            let system = here.data_dir.control().map(|c| c.system_id.0.as_str());
            return Ok(seen.system().is_none_or(|known| Some(known) == system));
        }
        // A former primary that stood still while others went on.
        Server::Primary(status) => return Ok(u64::from(status.timeline.0) >= seen.timeline()),
        Server::Standby(status) => status,
    };
    if paused || barred {
        return Ok(false);
    }
    if let Some(failover) = &seen.failover {
        return Ok(asked_for(a, seen, failover, server)?.unwrap_or(false));
    }
    if !watchdog::is_healthy(&kept) {
        return Ok(false);
    }
    let mut members = (*kept.old_members).clone();
    members.extend((*seen.members).clone());
    is_ahead(a, seen, standby, &members, Lag::Counts)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lag {
    Counts,
    /// Somebody asked for the failover.
    IsNoMatter,
}

/// Everybody else that may be asked.
fn requests(
    members: &BTreeMap<MemberName, Value>,
    wanted: impl Fn(&MemberName, &Value) -> bool,
) -> Vec<PeerRequest> {
    let others = members.iter().filter(|(name, data)| wanted(name, data));
    others
        .filter_map(|(name, data)| {
            Some(PeerRequest {
                member: name.clone(),
                api_url: data.get("api_url")?.as_str()?.to_string(),
            })
        })
        .collect()
}

fn reachable(answers: BTreeMap<MemberName, PeerAnswer>) -> BTreeMap<MemberName, PeerStatus> {
    let told = answers
        .into_iter()
        .filter_map(|(name, answer)| match answer {
            PeerAnswer::Status(status) => Some((name, status)),
            PeerAnswer::Refused | PeerAnswer::TimedOut | PeerAnswer::Garbled(_) => None,
        });
    told.collect()
}

/// Nobody that answers is a primary, or has more, or as much and more of a right to it (2.11).
fn is_ahead(
    a: &mut Asks,
    seen: &Seen,
    mine: &SqlStatus,
    members: &BTreeMap<MemberName, Value>,
    lag: Lag,
) -> Run<bool> {
    let kept = a.recall();
    let position = mine.received.max(mine.replayed);
    let behind = seen.optime.saturating_sub(position.0);
    if lag == Lag::Counts && behind > kept.tunes.maximum_lag_on_failover {
        return Ok(false);
    }
    if kept.tunes.check_timeline && u64::from(mine.received_timeline.0) < seen.timeline() {
        return Ok(false);
    }
    let me = kept.me.name.clone();
    let asked = requests(members, |name, data| *name != me && !tags_of(data).0);
    let answers = reachable(a.peers(asked, PEER_TIMEOUT)?);
    let (_, priority) = tags_of(&own(&kept));
    let outranks = |peer: &PeerStatus| {
        !peer.in_recovery
            || peer.position > position
            || (peer.position == position && peer.failover_priority > priority)
    };
    let mut may = answers
        .values()
        .filter(|p| !p.nofailover && !p.watchdog_failed);
    Ok(!may.any(outranks))
}

/// Somebody asked for another leader, and nobody leads (2.12). `None`: it goes on as if nobody had.
fn asked_for(a: &mut Asks, seen: &Seen, failover: &Failover, server: &Server) -> Run<Option<bool>> {
    let kept = a.recall();
    let me = kept.me.name.clone();
    let paused = kept.tunes.paused;
    if let Some(candidate) = &failover.candidate {
        if *candidate == me {
            return Ok(Some(true));
        }
        if paused {
            let stranger = !seen.members.contains_key(candidate);
            if stranger && matches!(server, Server::Primary(_)) {
                dcs::write_at(a, "failover", "{}", failover.version)?;
                return Ok(None);
            }
            return Ok(Some(false));
        }
        let asked = requests(&seen.members, |name, data| {
            name == candidate && !tags_of(data).0
        });
        let healthy = reachable(a.peers(asked, PEER_TIMEOUT)?);
        if healthy
            .values()
            .any(|p| !p.nofailover && !p.watchdog_failed)
        {
            return Ok(Some(false));
        }
    } else if paused {
        return Ok(Some(false));
    }
    if failover.leader.as_ref() == Some(&me) {
        let without = failover.candidate.as_ref();
        return Ok(Some(!failover_is_possible(a, seen, None, without)?));
    }
    let Server::Standby(status) = server else {
        return Ok(Some(false));
    };
    let mut members = (*seen.members).clone();
    members.retain(|name, _| failover.leader.as_ref() != Some(name));
    is_ahead(a, seen, status, &members, Lag::IsNoMatter).map(Some)
}

/// Could anybody else take over (2.17)? `only`: the candidate; `without`: one that is known to be bad.
pub fn failover_is_possible(
    a: &mut Asks,
    seen: &Seen,
    only: Option<&MemberName>,
    without: Option<&MemberName>,
) -> Run<bool> {
    let kept = a.recall();
    let me = kept.me.name.clone();
    let asked = requests(&seen.members, |name, data| {
        *name != me
            && only.is_none_or(|only| only == name)
            && without != Some(name)
            && !tags_of(data).0
    });
    let answers = reachable(a.peers(asked, PEER_TIMEOUT)?);
    let optime = Lsn(seen.optime);
    let fits = |peer: &PeerStatus| {
        let timeline = peer.timeline.map_or(0, |t| u64::from(t.0));
        let lag = optime.bytes_ahead_of(peer.position);
        !peer.nofailover
            && !peer.watchdog_failed
            && lag <= kept.tunes.maximum_lag_on_failover
            && (!kept.tunes.check_timeline || timeline >= seen.timeline())
    };
    Ok(answers.values().any(fits))
}
