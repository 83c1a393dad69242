/// Measured values of one kind, such as latencies in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(Vec<u64>);

impl Sample {
    pub(crate) fn add(&mut self, value: u64) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which this share of all lies, 0 where there is none. `share` is from 0 to 1.
    pub(crate) fn quantile(&mut self, share: f64) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        self.0.sort_unstable();
        let last = self.0.len() - 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of the list: a share of its length"
        )]
        let index = (share * last as f64).round() as usize;
        self.0[index.min(last)]
    }
}

/// The middle one of a few figures; the mean of the two in the middle where their number is even.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::{Sample, median};

    /// Quantiles and medians of small lists are the obvious ones.
    #[test]
    fn quantiles_and_medians_are_those_of_the_sorted_list() {
        let mut sample = Sample::default();
        assert_eq!(sample.quantile(0.5), 0);
        (1..=101).rev().for_each(|value| sample.add(value));
        assert_eq!(
            [sample.quantile(0.0), sample.quantile(0.5), sample.quantile(0.99)],
            [1, 51, 100]
        );
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0]) - 2.5).abs() < 1e-9);
    }
}
