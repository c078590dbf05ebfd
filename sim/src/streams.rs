//! Where randomness comes from: one seed, and a ChaCha8 stream for each named part of the world.
//! Knows nothing of what is drawn. A new draw in one part leaves all other parts' draws alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::BTreeMap;
use tanist_core::time::Span;

/// One part's own stream of draws.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream `name` of the run `seed`: the same pair always yields the same draws.
    pub fn named(seed: u64, name: &str) -> Stream {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        // Four different mixes of the name fill the key, so that two names share a stream only if
        // all four collide.
        for (at, salt) in [0x51u64, 0x3a7, 0x1f35].into_iter().enumerate() {
            let word = fnv(name, salt);
            key[8 + at * 8..16 + at * 8].copy_from_slice(&word.to_le_bytes());
        }
        Stream(ChaCha8Rng::from_seed(key))
    }

    pub fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }
    /// Uniform in `0..n`; zero when `n` is zero. The bias of the remainder is below 2^-32 for our small `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.0.next_u64() % n }
    }
    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }
    pub fn span(&mut self, low: Span, high: Span) -> Span {
        Span(self.between(low.0, high.0))
    }
    /// True in `per_mille` of a thousand cases. Always draws, so that a changed chance shifts nothing else.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = self.below(of.len() as u64) as usize;
        of.get(at)
    }
}

fn fnv(text: &str, salt: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^ (hash >> 29)
}

/// The world's own streams. Each agent's seed is derived beside them, from its name.
#[derive(Clone, Debug)]
pub struct Streams {
    pub wire: Stream,
    pub dcs: Stream,
    pub pg: Stream,
    pub host: Stream,
    pub app: Stream,
    /// Who is meant by `any` and `standby`.
    pub who: Stream,
    pub sabotage: Stream,
}

impl Streams {
    pub fn new(seed: u64) -> Streams {
        Streams {
            wire: Stream::named(seed, "wire"),
            dcs: Stream::named(seed, "dcs"),
            pg: Stream::named(seed, "pg"),
            host: Stream::named(seed, "host"),
            app: Stream::named(seed, "app"),
            who: Stream::named(seed, "who"),
            sabotage: Stream::named(seed, "sabotage"),
        }
    }

    /// The next draw of every stream: two runs that agree here drew equally often everywhere.
    pub fn unseed(&self) -> BTreeMap<&'static str, u64> {
        let next = |stream: &Stream| stream.clone().draw();
        BTreeMap::from([
            ("wire", next(&self.wire)),
            ("dcs", next(&self.dcs)),
            ("pg", next(&self.pg)),
            ("host", next(&self.host)),
            ("app", next(&self.app)),
            ("who", next(&self.who)),
            ("sabotage", next(&self.sabotage)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_in_one_stream_leaves_the_others_alone() {
        let mut quiet = Streams::new(7);
        let mut busy = Streams::new(7);
        for _ in 0..100 {
            busy.wire.draw();
        }
        assert_eq!(quiet.pg.draw(), busy.pg.draw());
    }

    #[test]
    fn names_and_seeds_lead_to_different_draws() {
        let first = |seed, name| Stream::named(seed, name).draw();
        assert_ne!(first(1, "agent-a"), first(1, "agent-b"));
        assert_ne!(first(1, "wire"), first(2, "wire"));
    }
}
