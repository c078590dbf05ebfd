//! When the faults of a run happen: evenly; in bursts, with calm between them in which what was begun gets somewhere;
//! around an occasion (somebody has to take over, hand over or start), prepared so that it goes wrong, and disturbed; or
//! all while the cluster is being founded.

use super::faults::{self, Drawn};
use super::{Mix, duration, round};
use crate::act::Act;
use crate::shape::ClusterShape;
use crate::streams::Stream;
use tanist_core::time::Span;

/// Nothing goes wrong before the cluster has had this long to form, in most runs.
const FORMING: Span = Span::secs(60);

/// A founding and what follows from it is over by then.
const FOUNDING: Span = Span::secs(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    Even,
    Bursts,
    Occasions,
    Founding,
}

/// The acts of a run with their times, as they are drawn.
pub struct Score<'a> {
    pub mix: &'a Mix,
    pub cluster: &'a ClusterShape,
    pub acts: Vec<(Span, Act)>,
}

impl Rhythm {
    pub fn draw(draw: &mut Stream) -> Rhythm {
        match draw.below(20) {
            0..7 => Rhythm::Even,
            7..10 => Rhythm::Bursts,
            10..18 => Rhythm::Occasions,
            _few => Rhythm::Founding,
        }
    }

    /// When things begin to go wrong. In most runs the cluster is given time to form.
    pub fn starts(self, draw: &mut Stream) -> Span {
        let formed = draw.chance(850) && self != Rhythm::Founding;
        if formed { FORMING } else { Span::secs(1) }
    }

    /// For how long, where a run may have `most`.
    pub fn lasts(self, most: Span) -> Span {
        match self {
            Rhythm::Even | Rhythm::Bursts | Rhythm::Occasions => most,
            Rhythm::Founding => most.min(FOUNDING),
        }
    }
}

impl Score<'_> {
    pub fn fill(&mut self, rhythm: Rhythm, draw: &mut Stream, from: Span, until: Span) {
        match rhythm {
            Rhythm::Even => self.evenly(draw, from, until),
            Rhythm::Bursts => self.in_bursts(draw, from, until),
            Rhythm::Occasions => self.around_occasions(draw, from, until),
            Rhythm::Founding => self.while_founding(draw, from, until),
        }
        self.acts.retain(|(at, _)| *at < until);
    }

    fn evenly(&mut self, draw: &mut Stream, from: Span, until: Span) {
        let every = self.mix.every;
        let mut at = from + draw.span(Span::ZERO, every);
        while at < until {
            self.fault(draw, at);
            // Some faults come in pairs: the second while the first is still being answered.
            at = at
                + if draw.chance(200) {
                    draw.span(Span::millis(1), Span::secs(3))
                } else {
                    draw.span(Span::millis(100), every.times(2))
                };
        }
    }

    fn in_bursts(&mut self, draw: &mut Stream, from: Span, until: Span) {
        let mut at = from + draw.span(Span::ZERO, Span::secs(20));
        while at < until {
            for _ in 0..draw.between(2, 6) {
                self.fault(draw, at);
                at = at + draw.span(Span::millis(1), Span::secs(4));
            }
            at = at + draw.span(Span::secs(20), Span::secs(90));
        }
    }

    fn around_occasions(&mut self, draw: &mut Stream, from: Span, until: Span) {
        let mut at = from + draw.span(Span::ZERO, Span::secs(20));
        while at < until {
            for _ in 0..draw.below(3) {
                let trouble = faults::prepared(draw, self.cluster);
                self.acts.push((round(at), trouble));
            }
            if draw.chance(300) {
                let unequal = faults::unequal(draw, self.cluster);
                self.enter(draw, at, unequal);
                at = at + draw.span(Span::millis(1), Span::secs(10));
            }
            self.occasion(draw, at);
            if draw.chance(300) {
                let then = at + soon(draw);
                self.occasion(draw, then);
            }
            for _ in 0..draw.below(3) {
                let then = at + soon(draw);
                self.fault(draw, then);
            }
            at = at + draw.span(Span::secs(25), Span::secs(100));
        }
    }

    fn while_founding(&mut self, draw: &mut Stream, from: Span, until: Span) {
        let mut at = from;
        while at < until {
            match draw.below(4) {
                0 => self
                    .acts
                    .push((round(at), faults::prepared(draw, self.cluster))),
                1 => self.occasion(draw, at),
                _two_of_four => self.fault(draw, at),
            }
            at = at + draw.span(Span::millis(1), Span::secs(6));
        }
    }

    fn fault(&mut self, draw: &mut Stream, at: Span) {
        if let Some(fault) = self.mix.pick(draw) {
            let drawn = (fault.draw)(draw, self.cluster);
            self.enter(draw, at, drawn);
        }
    }

    fn occasion(&mut self, draw: &mut Stream, at: Span) {
        let drawn = faults::occasion(draw, self.cluster);
        self.enter(draw, at, drawn);
    }

    fn enter(&mut self, draw: &mut Stream, at: Span, (act, undo): Drawn) {
        self.acts.push((round(at), act));
        if let Some(undo) = undo {
            let later = at + duration(draw, self.cluster);
            self.acts.push((round(later), undo));
        }
    }
}

/// Most of what an occasion asks for is done within two seconds, the rest within a lease.
fn soon(draw: &mut Stream) -> Span {
    let within = [Span::secs(2), Span::secs(25)];
    let within = draw.pick(&within).copied().unwrap_or(Span::secs(2));
    draw.span(Span::millis(1), within)
}
