use crate::service_times::float;

/// When slots become free, in milliseconds from now; ascending.
#[derive(Debug, Clone)]
pub(crate) struct SlotQueue {
    free_after_ms: Vec<f64>,
}

impl SlotQueue {
    pub(crate) fn new(mut free_after_ms: Vec<f64>) -> Self {
        free_after_ms.sort_by(f64::total_cmp);
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
    /// the start `ahead + 1` of all those that the slots give. By bisection to the millisecond, in
    /// O(slots · log time), however many are ahead.
    pub(crate) fn start_ms(&self, ahead: f64, each_ms: f64) -> Option<f64> {
        let first = *self.free_after_ms.first()?;
        let wanted = ahead.ceil() + 1.0;
        if float(self.free() as u64) >= wanted {
            return Some(0.0);
        }
        let each_ms = each_ms.max(1.0);
        let starts_until = |at_ms: f64| {
            let of_slot = |free_ms: &f64| {
                if *free_ms > at_ms { 0.0 } else { ((at_ms - free_ms) / each_ms).floor() + 1.0 }
            };
            self.free_after_ms.iter().map(of_slot).sum::<f64>()
        };
        // No later than by the first slot alone.
        let (mut before, mut after) = (first - 1.0, first + wanted * each_ms);
        while after - before > 0.1 {
            let middle = f64::midpoint(before, after);
            if starts_until(middle) >= wanted {
                after = middle;
            } else {
                before = middle;
            }
        }
        Some(after.max(0.0))
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
