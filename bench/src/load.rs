//! What is asked for: keys, and the order in which they come. The same in every run.

/// A small generator with a fixed start (xorshift64*): runs must be alike, not secret.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// At least 0, below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.unit() * bound as f64) as u64
    }
}

/// Draws ranks 0.. with a frequency that falls with the power `exponent` of the rank.
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    pub fn new(ranks: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=ranks).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf { cumulative: cumulative.collect() }
    }

    pub fn draw(&self, random: &mut Random) -> usize {
        let at = random.unit() * self.cumulative.last().copied().unwrap_or_default();
        self.cumulative.partition_point(|sum| *sum <= at).min(self.cumulative.len() - 1)
    }
}

/// Arguments of a memoised `(u64, &str)` function.
pub type Pair = (u64, &'static str);

/// So many pairs, for the rest of the run.
pub fn pairs(count: u64) -> &'static [Pair] {
    let pair = |id| -> Pair { (id, format!("user-{id:06}").leak()) };
    (0..count).map(pair).collect::<Vec<_>>().leak()
}

/// Which of `keys` keys to ask for, hot ones spread over all; each thread starts elsewhere.
pub fn picks(keys: usize, exponent: f64, count: usize, seed: u64) -> Vec<u32> {
    let (zipf, mut random) = (Zipf::new(keys, exponent), Random::new(seed));
    // A step that has no divisor in common with the number of keys visits each once.
    let spread = |rank: usize| ((rank as u64 * 7919) % keys as u64) as u32;
    (0..count).map(|_| spread(zipf.draw(&mut random))).collect()
}
