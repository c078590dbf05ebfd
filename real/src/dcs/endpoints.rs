//! Which etcd member is asked next, and which answers are too old to count?
//! Plain bookkeeping: sends nothing, reads no clock.
//!
//! A member that was cut off answers reads and keep-alives as if nothing had happened. Its raft term
//! gives it away: an answer with a lower term than one seen before, from the same etcd cluster, is stale.

use super::settings::Endpoint;
use super::wire::Header;
use std::collections::BTreeMap;

/// How many members are remembered at most; an etcd cluster has three to seven.
const MEMBERS_MAX: usize = 32;

/// Who vouches for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// The quorum: writes and linearizable reads. Never stale, whatever the term says: after a restore
    /// from a backup terms begin lower, and that is then the truth.
    ByQuorum,
    /// The one member that answered: cached reads, keep-alives, watches.
    ByMember,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    Stale { term: u64, seen: u64 },
}

/// How a member's gateway is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// `/v3`, `/v3beta` or `/v3alpha`.
    pub prefix: &'static str,
}

#[derive(Debug)]
pub struct Endpoints {
    configured: Vec<Endpoint>,
    /// Configured ones first, then those that etcd named.
    known: Vec<Endpoint>,
    current: usize,
    dialects: BTreeMap<Endpoint, Dialect>,
    terms: BTreeMap<u64, u64>,
}

impl Endpoints {
    pub fn new(configured: Vec<Endpoint>) -> Endpoints {
        Endpoints {
            known: configured.clone(),
            configured,
            current: 0,
            dialects: BTreeMap::new(),
            terms: BTreeMap::new(),
        }
    }

    /// Every member once, beginning with the one that answered last.
    pub fn in_turn(&self) -> Vec<Endpoint> {
        let (before, from) = self.known.split_at(self.current.min(self.known.len()));
        from.iter().chain(before).cloned().collect()
    }

    pub fn answered(&mut self, endpoint: &Endpoint) {
        if let Some(at) = self.known.iter().position(|known| known == endpoint) {
            self.current = at;
        }
    }

    /// This member gave no answer: the next call begins with the one after it.
    pub fn failed(&mut self, endpoint: &Endpoint) {
        if self.known.get(self.current) == Some(endpoint) {
            self.current = (self.current + 1) % self.known.len();
        }
    }

    pub fn dialect(&self, endpoint: &Endpoint) -> Option<Dialect> {
        self.dialects.get(endpoint).cloned()
    }

    pub fn learn_dialect(&mut self, endpoint: &Endpoint, dialect: Dialect) {
        self.dialects.insert(endpoint.clone(), dialect);
    }

    pub fn forget_dialect(&mut self, endpoint: &Endpoint) {
        self.dialects.remove(endpoint);
    }

    pub fn heard(&mut self, header: Header, vouched: Vouched) -> Freshness {
        let seen = self.terms.entry(header.cluster).or_insert(header.term);
        match vouched {
            Vouched::ByQuorum => {
                *seen = header.term;
                Freshness::Fresh
            }
            Vouched::ByMember if header.term < *seen => Freshness::Stale {
                term: header.term,
                seen: *seen,
            },
            Vouched::ByMember => {
                *seen = header.term;
                Freshness::Fresh
            }
        }
    }

    /// Etcd named its members. The configured addresses stay, and stay first: they are the ones that
    /// somebody vouched for.
    pub fn learn_members(&mut self, urls: impl IntoIterator<Item = String>) {
        let asked_last = self.known.get(self.current).cloned();
        let mut known = self.configured.clone();
        for endpoint in urls.into_iter().filter_map(|url| Endpoint::parse(&url)) {
            if known.len() < MEMBERS_MAX && !known.contains(&endpoint) {
                known.push(endpoint);
            }
        }
        self.dialects.retain(|endpoint, _| known.contains(endpoint));
        self.current = asked_last
            .and_then(|last| known.iter().position(|endpoint| *endpoint == last))
            .unwrap_or(0);
        self.known = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::dcs::Revision;

    fn at(port: u16) -> Endpoint {
        Endpoint::parse(&format!("http://127.0.0.1:{port}")).expect("an endpoint")
    }

    fn ports(endpoints: &Endpoints) -> Vec<u16> {
        endpoints.in_turn().iter().map(|e| e.port).collect()
    }

    fn heard(endpoints: &mut Endpoints, cluster: u64, term: u64, vouched: Vouched) -> Freshness {
        let header = Header {
            cluster,
            revision: Revision(1),
            term,
        };
        endpoints.heard(header, vouched)
    }

    #[test]
    fn a_member_that_failed_is_asked_last() {
        let mut endpoints = Endpoints::new(vec![at(1), at(2), at(3)]);
        endpoints.failed(&at(1));
        assert_eq!(ports(&endpoints), [2, 3, 1]);
        endpoints.answered(&at(3));
        assert_eq!(ports(&endpoints), [3, 1, 2]);
        // Somebody else's failure does not move us away from the member that works.
        endpoints.failed(&at(1));
        assert_eq!(ports(&endpoints), [3, 1, 2]);
    }

    #[test]
    fn members_that_etcd_names_come_after_the_configured_ones() {
        let mut endpoints = Endpoints::new(vec![at(1), at(2)]);
        endpoints.answered(&at(2));
        endpoints.learn_members(["http://127.0.0.1:3".into(), "http://127.0.0.1:1".into()]);
        assert_eq!(ports(&endpoints), [2, 3, 1]);
        endpoints.answered(&at(3));
        // The member is gone from etcd's list: back to what was configured.
        endpoints.learn_members(["http://127.0.0.1:1".into()]);
        assert_eq!(ports(&endpoints), [1, 2]);
    }

    #[test]
    fn a_lower_term_of_the_same_cluster_is_stale_and_another_cluster_counts_for_itself() {
        let mut endpoints = Endpoints::new(vec![at(1)]);
        let by = Vouched::ByMember;
        assert_eq!(heard(&mut endpoints, 7, 5, by), Freshness::Fresh);
        assert_eq!(heard(&mut endpoints, 7, 6, by), Freshness::Fresh);
        assert_eq!(
            heard(&mut endpoints, 7, 5, by),
            Freshness::Stale { term: 5, seen: 6 }
        );
        assert_eq!(heard(&mut endpoints, 8, 2, by), Freshness::Fresh);
    }

    #[test]
    fn a_restored_store_is_believed_once_its_quorum_has_spoken() {
        let mut endpoints = Endpoints::new(vec![at(1)]);
        heard(&mut endpoints, 7, 50, Vouched::ByQuorum);
        assert_eq!(
            heard(&mut endpoints, 7, 3, Vouched::ByQuorum),
            Freshness::Fresh
        );
        assert_eq!(
            heard(&mut endpoints, 7, 3, Vouched::ByMember),
            Freshness::Fresh
        );
    }
}
