//! Which links of the stage are cut or refused now, and the rules that make them so. Each member sits in a network of its
//! own, so what it may reach is decided there. Knows nothing of why a link is cut.

use crate::house::House;
use anyhow::Context;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tanist::testbed::member::Member;
use tanist::testbed::network::Blocked;
use tanist_core::name::MemberName;
use tanist_sim::act::{Lane, WireAct};

/// For each member: the addresses that it cannot reach, and how it is told.
#[derive(Default)]
pub struct Links {
    blocked: BTreeMap<MemberName, BTreeMap<SocketAddr, Blocked>>,
}

impl Links {
    /// `ends`: members, or the store (`None`).
    pub fn change(
        &mut self,
        house: &House,
        ends: [Option<Vec<MemberName>>; 2],
        lane: Option<Lane>,
        act: WireAct,
    ) -> anyhow::Result<()> {
        let how = match act {
            WireAct::Cut => Some(Blocked::Silently),
            WireAct::Refuse => Some(Blocked::Refused),
            _healed => None,
        };
        let [one, other] = ends;
        for (from, to) in [(&one, &other), (&other, &one)] {
            for name in from.iter().flatten() {
                let reached = reached_from(house, name, to.as_deref(), lane)?;
                let blocked = self.blocked.entry(name.clone()).or_default();
                for address in reached {
                    match how {
                        Some(how) => blocked.insert(address, how),
                        None => blocked.remove(&address),
                    };
                }
            }
        }
        self.lay_down(house)
    }

    pub fn heal(&mut self, house: &House) -> anyhow::Result<()> {
        if self.blocked.is_empty() {
            return Ok(());
        }
        self.blocked.values_mut().for_each(BTreeMap::clear);
        self.lay_down(house)
    }

    fn lay_down(&self, house: &House) -> anyhow::Result<()> {
        let network = house.network.as_ref().context("no network of their own")?;
        for (name, blocked) in &self.blocked {
            let member = house.cluster.member(name.as_str())?;
            network.block(member.namespace(), blocked)?;
        }
        Ok(())
    }
}

fn reached_from(
    house: &House,
    from: &MemberName,
    to: Option<&[MemberName]>,
    lane: Option<Lane>,
) -> anyhow::Result<Vec<SocketAddr>> {
    let Some(to) = to else {
        return Ok(vec![house.cluster.etcd.address()]);
    };
    let mut reached = Vec::new();
    for name in to.iter().filter(|name| *name != from) {
        let member: &Member = house.cluster.member(name.as_str())?;
        if lane != Some(Lane::Api) {
            reached.push(member.postgres().address());
        }
        if lane != Some(Lane::Data) {
            reached.push(member.rest());
        }
    }
    Ok(reached)
}
