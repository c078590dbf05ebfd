//! The agent's only source of randomness: ChaCha8 from the seed that was handed in, used for jitter alone.
//! Its position is part of the state, so a replay draws the same numbers.

use crate::time::Span;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    seed: u64,
    drawn: u64,
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng { seed, drawn: 0 }
    }

    /// A uniform length of time below `limit` (zero when `limit` is zero).
    pub fn below(&mut self, limit: Span) -> Span {
        let mut stream = ChaCha8Rng::seed_from_u64(self.seed);
        stream.set_word_pos(u128::from(self.drawn) * 2);
        self.drawn += 1;
        let draw = stream.next_u64();
        Span::micros(if limit.as_micros() == 0 {
            0
        } else {
            draw % limit.as_micros()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_generator_goes_on_where_it_was() {
        let mut a = Rng::new(7);
        a.below(Span::secs(1));
        let mut b: Rng = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        assert_eq!(a.below(Span::secs(1)), b.below(Span::secs(1)));
    }
}
