use std::time::Duration;

/// Random numbers that a seed repeats on the same machine.
#[derive(Debug, Clone)]
pub(crate) struct Dice(fastrand::Rng);

impl Dice {
    /// One of many streams of numbers of one seed, each independent of how much the others are used.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // Neighbouring seeds must not give neighbouring streams.
        let mut mixed = fastrand::Rng::with_seed(seed);
        let salt = mixed.u64(..);
        Self(fastrand::Rng::with_seed(salt ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number from 0 to `bound - 1`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(0..bound)
    }

    /// A place in a list of `len` entries.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.0.usize(0..len)
    }

    /// A number from `least` to `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..=most)
    }

    /// Yes in `percent` of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// The pause to the next event of a Poisson process, in milliseconds.
    pub(crate) fn exponential_ms(&mut self, mean_ms: f64) -> u64 {
        whole(-mean_ms * (1.0 - self.0.f64()).ln())
    }

    /// A size of the heavy-tailed kind, from `least` to `most`.
    pub(crate) fn pareto(&mut self, least: u64, shape: f64, most: u64) -> u64 {
        let drawn = least as f64 / (1.0 - self.0.f64()).powf(1.0 / shape);
        whole(drawn).clamp(least, most)
    }
}

/// Without what is behind the point; at most what fits.
fn whole(number: f64) -> u64 {
    let millis = Duration::try_from_secs_f64(number / 1000.0).map(|time| time.as_millis());
    millis.ok().and_then(|millis| u64::try_from(millis).ok()).unwrap_or(u64::MAX)
}
