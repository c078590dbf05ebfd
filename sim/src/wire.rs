//! The network, direction by direction: what becomes of a message sent now, and of one on its way when
//! the link changes. Knows nothing of what messages mean, and keeps none of them.
//!
//! Refused is not hung is not half-open: a refusing link resets at once, a cut one swallows, and a link
//! cut one way carries requests whose answers never come.

use crate::moment::Moment;
use crate::streams::Stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tanist_core::time::Span;

/// A member's place in the cluster's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seat(pub u8);

impl Seat {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Member(Seat),
    StoreServer(u8),
    Clients,
}

/// What kind of traffic; each has its own connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    Store,
    /// Replication, base backups, SQL of standbys.
    Data,
    /// REST between members.
    Api,
    /// SQL of the application, and its REST checks.
    Client,
}

/// One direction of one kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    pub from: Node,
    pub to: Node,
    pub traffic: Traffic,
}

impl Hop {
    pub fn back(self) -> Hop {
        Hop {
            from: self.to,
            to: self.from,
            traffic: self.traffic,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// Packets vanish; TCP sends them again until the connection is given up.
    Hang,
    /// Connections are refused, open ones reset.
    Refuse,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Quality {
    cut: Option<(CutKind, Moment)>,
    delay: Span,
    jitter: Span,
    lose_per_mille: u32,
    straggle: Option<(u32, Span)>,
}

/// What becomes of a message handed to the network now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Arrives(Moment),
    /// Swallowed by a cut; it may arrive after the heal, if its connection lives that long.
    Stuck,
    Lost,
    Refused,
}

#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// Only links that are not as good as new.
    bad: BTreeMap<Hop, Quality>,
}

impl Wire {
    pub fn fate(&self, now: Moment, hop: Hop, chance: &mut Stream) -> Fate {
        let (low, high) = usual_delay(hop.traffic);
        let usual = chance.span(low, high);
        let Some(quality) = self.bad.get(&hop) else {
            return Fate::Arrives(now + usual);
        };
        match quality.cut {
            Some((CutKind::Hang, _)) => return Fate::Stuck,
            Some((CutKind::Refuse, _)) => return Fate::Refused,
            None => {}
        }
        if quality.lose_per_mille > 0 && chance.chance(quality.lose_per_mille) {
            return Fate::Lost;
        }
        let mut takes = usual + quality.delay + chance.span(Span::ZERO, quality.jitter);
        if let Some((per_mille, upto)) = quality.straggle
            && chance.chance(per_mille)
        {
            takes = takes + chance.span(Span::ZERO, upto);
        }
        Fate::Arrives(now + takes)
    }

    /// Does a message that was sent at `sent_at` and is due now still arrive? One that was on its way when
    /// a cut began does in half of the cases.
    pub fn arrives(&self, sent_at: Moment, hop: Hop, chance: &mut Stream) -> bool {
        match self.bad.get(&hop).and_then(|quality| quality.cut) {
            None => true,
            Some((_, since)) => since >= sent_at && chance.chance(500),
        }
    }

    pub fn is_open(&self, hop: Hop) -> bool {
        self.cut(hop).is_none()
    }
    /// Both directions carry: a new connection can be made.
    pub fn connects(&self, hop: Hop) -> bool {
        self.is_open(hop) && self.is_open(hop.back())
    }
    pub fn cut(&self, hop: Hop) -> Option<CutKind> {
        self.bad.get(&hop)?.cut.map(|(kind, _)| kind)
    }

    pub fn set_cut(&mut self, now: Moment, hop: Hop, kind: CutKind) {
        self.bad.entry(hop).or_default().cut = Some((kind, now));
    }
    pub fn set_delay(&mut self, hop: Hop, delay: Span, jitter: Span) {
        let quality = self.bad.entry(hop).or_default();
        (quality.delay, quality.jitter) = (delay, jitter);
    }
    pub fn set_loss(&mut self, hop: Hop, per_mille: u32) {
        self.bad.entry(hop).or_default().lose_per_mille = per_mille;
    }
    pub fn set_straggle(&mut self, hop: Hop, per_mille: u32, upto: Span) {
        self.bad.entry(hop).or_default().straggle = Some((per_mille, upto));
    }
    pub fn heal(&mut self, hop: Hop) {
        self.bad.remove(&hop);
    }
    pub fn heal_all(&mut self) {
        self.bad.clear();
    }
    pub fn is_perfect(&self) -> bool {
        self.bad.is_empty()
    }
}

/// Usual one-way delays inside one site.
fn usual_delay(traffic: Traffic) -> (Span, Span) {
    match traffic {
        Traffic::Store | Traffic::Data => (Span::micros(100), Span::micros(600)),
        Traffic::Api | Traffic::Client => (Span::micros(200), Span::micros(1_200)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: Hop = Hop {
        from: Node::Member(Seat(0)),
        to: Node::StoreServer(1),
        traffic: Traffic::Store,
    };

    fn chance() -> Stream {
        Stream::named(1, "wire")
    }

    #[test]
    fn a_cut_one_way_leaves_the_way_back_open() {
        let mut wire = Wire::default();
        wire.set_cut(Moment::secs(1), HOP, CutKind::Hang);
        assert_eq!(wire.fate(Moment::secs(2), HOP, &mut chance()), Fate::Stuck);
        let back = wire.fate(Moment::secs(2), HOP.back(), &mut chance());
        assert!(matches!(back, Fate::Arrives(_)));
        assert!(!wire.connects(HOP));
    }

    #[test]
    fn refusing_is_not_hanging() {
        let mut wire = Wire::default();
        wire.set_cut(Moment::secs(1), HOP, CutKind::Refuse);
        assert_eq!(
            wire.fate(Moment::secs(2), HOP, &mut chance()),
            Fate::Refused
        );
    }

    #[test]
    fn what_is_on_its_way_at_a_cut_arrives_in_some_runs_and_what_follows_in_none() {
        let mut wire = Wire::default();
        wire.set_cut(Moment::secs(5), HOP, CutKind::Hang);
        let mut chance = chance();
        let early = (0..100)
            .filter(|_| wire.arrives(Moment::secs(4), HOP, &mut chance))
            .count();
        assert!((20..80).contains(&early), "{early}");
        let late = (0..100)
            .filter(|_| wire.arrives(Moment::secs(6), HOP, &mut chance))
            .count();
        assert_eq!(late, 0);
    }

    #[test]
    fn jitter_makes_messages_overtake_each_other() {
        let mut wire = Wire::default();
        wire.set_delay(HOP, Span::millis(10), Span::millis(500));
        let mut chance = chance();
        let mut arrivals = Vec::new();
        for ms in 0..50 {
            if let Fate::Arrives(at) = wire.fate(Moment::millis(ms), HOP, &mut chance) {
                arrivals.push(at);
            }
        }
        assert!(arrivals.windows(2).any(|pair| pair[1] < pair[0]));
    }

    #[test]
    fn a_healed_link_is_as_good_as_new() {
        let mut wire = Wire::default();
        wire.set_loss(HOP, 1_000);
        assert_eq!(wire.fate(Moment::START, HOP, &mut chance()), Fate::Lost);
        wire.heal(HOP);
        assert!(wire.is_perfect());
    }
}
