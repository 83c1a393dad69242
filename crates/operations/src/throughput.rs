/// Shortest measurement that an estimate is made from, in milliseconds: the first moments of a transfer say
/// little about the rest.
const MEASURED_MS_MIN: u64 = 500;

/// How fast bytes come, from when they were first counted. What was there before does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throughput {
    first: Option<(u64, u64)>,
    last: (u64, u64),
}

impl Throughput {
    /// Notes that `bytes_done` were there at `now_ms`. Fewer than before start the measurement anew.
    pub fn note(&mut self, bytes_done: u64, now_ms: u64) {
        match self.first {
            Some((first, _)) if bytes_done >= first && bytes_done >= self.last.0 => {}
            _ => self.first = Some((bytes_done, now_ms)),
        }
        self.last = (bytes_done, now_ms);
    }

    /// Time until `bytes_total` are there, in milliseconds; none before there is a measurement.
    #[must_use]
    pub fn left_ms(&self, bytes_total: u64) -> Option<u64> {
        let (first_bytes, first_ms) = self.first?;
        let (bytes, at_ms) = self.last;
        let (moved, took_ms) = (bytes - first_bytes, at_ms.saturating_sub(first_ms));
        if moved == 0 || took_ms < MEASURED_MS_MIN {
            return None;
        }
        let left = u128::from(bytes_total.saturating_sub(bytes));
        u64::try_from(left * u128::from(took_ms) / u128::from(moved)).ok()
    }
}
