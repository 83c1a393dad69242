use crate::service_times::float;

/// When slots become free, in milliseconds from now; ascending.
#[derive(Debug, Clone)]
pub(crate) struct SlotQueue {
    free_after_ms: Vec<f64>,
}

impl SlotQueue {
    pub(crate) fn new(mut free_after_ms: Vec<f64>) -> Self {
        free_after_ms.sort_unstable_by(f64::total_cmp);
        Self { free_after_ms }
    }

    pub(crate) fn slots(&self) -> usize {
        self.free_after_ms.len()
    }

    /// Slots that are free now.
    pub(crate) fn free(&self) -> usize {
        self.free_after_ms.partition_point(|ms| *ms <= 0.0)
    }

    /// When the task starts before which `ahead` others start, each of which holds its slot for `each_ms`:
    /// the start `ahead + 1` of all those that the slots give. Takes O(slots), however many are ahead.
    pub(crate) fn start_ms(&self, ahead: f64, each_ms: f64) -> Option<f64> {
        let wanted = ahead.ceil() + 1.0;
        if self.free_after_ms.is_empty() || float(self.free() as u64) >= wanted {
            return self.free_after_ms.first().map(|_| 0.0);
        }
        let each_ms = each_ms.max(1.0);
        // A slot gives its starts every `each_ms`, so that each has one or two in what lies between a little
        // before the one that is sought and a little after it.
        let mut from_ms = self.work_until_ms(wanted * each_ms) - each_ms;
        let mut next = self.next_starts(from_ms, each_ms);
        while next.passed >= wanted {
            from_ms -= each_ms;
            next = self.next_starts(from_ms, each_ms);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let at = ((wanted - next.passed) as usize - 1).min(next.starts_ms.len() - 1);
        let (_, start_ms, _) = next.starts_ms.select_nth_unstable_by(at, f64::total_cmp);
        Some(start_ms.max(0.0))
    }

    /// Until when the slots, each from when it is free, have worked for `work_ms` together. The starts that
    /// this makes are all through by then.
    fn work_until_ms(&self, work_ms: f64) -> f64 {
        let mut sum_ms = 0.0;
        let mut until_ms = f64::INFINITY;
        for (free_ms, slots) in self.free_after_ms.iter().zip(1..) {
            if *free_ms >= until_ms {
                break;
            }
            sum_ms += free_ms;
            until_ms = (work_ms + sum_ms) / float(slots);
        }
        until_ms
    }

    /// How many starts lie at `from_ms` or before it, and of each slot the next two.
    fn next_starts(&self, from_ms: f64, each_ms: f64) -> NextStarts {
        let mut next = NextStarts { passed: 0.0, starts_ms: Vec::with_capacity(2 * self.slots()) };
        for free_ms in &self.free_after_ms {
            let passed = if *free_ms > from_ms {
                0.0
            } else {
                ((from_ms - free_ms) / each_ms).floor() + 1.0
            };
            next.passed += passed;
            let next_ms = free_ms + passed * each_ms;
            next.starts_ms.extend([next_ms, next_ms + each_ms]);
        }
        next
    }

    /// How far the start `ahead + 1` may be off, as a standard deviation, where one task's time deviates by
    /// `deviation_ms` and was measured of `samples`.
    pub(crate) fn deviation_ms(&self, ahead: f64, deviation_ms: f64, samples: usize) -> f64 {
        let slots = float(self.slots().max(1) as u64);
        let free = float(self.free() as u64);
        // Those that start at once do not have to end first.
        let ends = (ahead + 1.0 - free).max(0.0);
        if ends == 0.0 {
            return 0.0;
        }
        let variance = (ends / slots.powi(2)).max(1.0 / slots);
        let of_mean = (ends / slots).powi(2) / float(samples.max(1) as u64);
        deviation_ms * (variance + of_mean).sqrt()
    }
}

/// What the slots give behind an instant.
struct NextStarts {
    passed: f64,
    starts_ms: Vec<f64>,
}
