//! Whose PostgreSQL may be fed from which copy of the data. Decides nothing about following: it keeps what has been
//! decided from being carried over to data that came later.
//!
//! Why it is needed: PostgreSQL tells timelines apart by number and fork position alone, and a standby connects anew by
//! itself, with no agent asked, while its upstream's data directory may have been cloned or rewound onto another timeline
//! of the same number. A replication slot lies in the data directory and goes with it (neither pg_basebackup nor
//! pg_rewind copies any). So each member publishes, for every other one, the copy that it may be fed from, and a member
//! makes a slot only for those that have named the copy it has: without its slot no standby is served.

use crate::agent::Agent;
use crate::cluster::Cluster;
use crate::local::Server;
use crate::member::{MemberData, NotTold};
use crate::name::MemberName;
use crate::postgres::{CopyId, StartAs};
use crate::timeline::Divergence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// By member, the copy that this member's PostgreSQL may be fed from.
    accepted: BTreeMap<MemberName, CopyId>,
    /// Whom this agent has told its server to follow.
    pub aimed: Option<MemberName>,
}

impl Copies {
    pub fn accepted(&self) -> &BTreeMap<MemberName, CopyId> {
        &self.accepted
    }
}

pub fn aimed_at(role: &StartAs) -> Option<MemberName> {
    match role {
        StartAs::Standby { upstream } | StartAs::OneTimeline { upstream, .. } => {
            upstream.as_ref().map(|u| u.member.clone())
        }
        StartAs::Primary => None,
    }
}

impl Agent {
    /// A copy whose member this server cannot connect to by itself is accepted unseen: it will be compared before it is
    /// followed. One that the server might connect to now is accepted once it has been compared.
    pub fn accept_copies(&mut self) {
        let Some(cluster) = self.store.cluster.clone() else {
            return;
        };
        if self.has_accepted_all(&cluster) {
            return;
        }
        for (name, member) in cluster.others(&self.settings.name) {
            let known = self.copies.accepted.get(name);
            let Some(copy) = member
                .copy_text()
                .filter(|copy| known.is_none_or(|k| k.0 != *copy))
            else {
                continue;
            };
            let copy = CopyId(copy.to_string());
            if !self.may_connect_to(name, member) || self.has_compared(name, &copy) {
                self.copies.accepted.insert(name.clone(), copy);
            }
        }
        // Whoever my server starts for may come back with the very copy that it left with, and a server that starts cannot be
        // asked anew where its WAL ends.
        let starts = self.local.server() == Server::Starting;
        let Copies { accepted, aimed } = &mut self.copies;
        let waited_for = |name: &MemberName| starts && aimed.as_ref() == Some(name);
        accepted.retain(|name, _| cluster.members.contains_key(name) || waited_for(name));
    }

    /// The others are those whose copies are accepted, and have these very copies: both are in the order of names.
    fn has_accepted_all(&self, cluster: &Cluster) -> bool {
        let mut accepted = self.copies.accepted.iter();
        let mut others = cluster.others(&self.settings.name);
        let same = others.all(|(name, member)| {
            let known = accepted.next();
            known.is_some_and(|(of, copy)| of == name && member.copy_text() == Some(&copy.0))
        });
        same && accepted.next().is_none()
    }

    /// Could my server, left alone, connect to this member? Where that is not known, it could.
    fn may_connect_to(&self, name: &MemberName, member: &MemberData) -> bool {
        let aimed = self.copies.aimed.as_ref() == Some(name);
        match self.local.server() {
            // Whom it followed before it was promoted is nobody's upstream any more.
            Server::Primary => false,
            _ if aimed => true,
            Server::Down => false,
            Server::Standby => match self.local.answered() {
                Some(status) => status.upstream.is_some() && status.upstream == member.address(),
                None => true,
            },
            Server::Starting | Server::ShuttingDown | Server::Silent | Server::Leftovers { .. } => {
                true
            }
        }
    }

    fn has_compared(&self, name: &MemberName, copy: &CopyId) -> bool {
        let leader = self.store.leader().filter(|leader| leader.owner == *name);
        let checked = leader.and_then(|leader| self.valid_check(leader));
        checked.is_some_and(|c| c.divergence == Divergence::None && c.copy.as_ref() == Some(copy))
    }

    /// May this member's PostgreSQL be fed from mine? Whoever does not tell what it accepts is trusted, as Patroni does.
    pub fn feeds(&self, member: &MemberData) -> bool {
        let mine = self.local.observed.as_ref().and_then(|o| o.copy.as_ref());
        let mine = mine.map(|copy| copy.0.as_str());
        match member.accepts(&self.settings.name) {
            Ok(accepted) => mine.is_none() || accepted == mine,
            Err(NotTold) => true,
        }
    }
}
