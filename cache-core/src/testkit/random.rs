//! Random numbers for tests and simulations.
//!
//! Invariant: equal seeds give equal numbers, on every machine and in every release.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A small seeded generator (SplitMix64). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// Whether an event of this probability (0 to 1) happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        // 53 bits are what an f64 holds exactly.
        ((self.bits() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    /// A duration between these two, both included.
    pub fn between(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let span = range.end().saturating_sub(*range.start()).as_nanos() + 1;
        *range.start() + Duration::from_nanos(((u128::from(self.bits()) * span) >> 64) as u64)
    }

    /// Another generator, whose numbers have nothing to do with those of this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Random(self.bits() ^ 0x6a09_e667_f3bc_c909)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_numbers_and_the_numbers_are_frozen() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        assert!((0..100).all(|_| one.bits() == two.bits()));
        assert_eq!(Random::new(0).bits(), 0xe220_a839_7b1d_cdaf, "the first number of SplitMix64 from 0");
    }

    #[test]
    fn every_number_stays_in_its_range_and_reaches_both_ends() {
        let mut random = Random::new(1);
        let drawn: Vec<usize> = (0..200).map(|_| random.below(3)).collect();
        assert!((0..3).all(|n| drawn.contains(&n)) && drawn.iter().all(|n| *n < 3));
        let nanos = Duration::from_nanos;
        let drawn: Vec<Duration> = (0..200).map(|_| random.between(&(nanos(4)..=nanos(6)))).collect();
        assert!((4..=6).all(|n| drawn.contains(&nanos(n))) && drawn.iter().all(|n| (nanos(4)..=nanos(6)).contains(n)));
        assert!((0..100).all(|_| random.happens(1.0)) && !(0..100).any(|_| random.happens(0.0)));
    }
}
