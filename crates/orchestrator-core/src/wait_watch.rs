use crate::WaitObjective;

/// Parts of the window; what is older than it is forgotten a part at a time.
const SLICES: usize = 10;

/// One of so many starts may come late: that is what the 95th percentile says.
const ONE_IN: u64 = 20;

/// Share of the objective that waits must keep to until it counts as met again, in per cent, so that a load
/// on the edge does not switch back and forth.
const RECOVERED_PERCENT: u64 = 80;

/// Watches whether interactive tasks of a model start in time.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitWatch {
    slices: [Slice; SLICES],
    /// Number of the slice that the time is in.
    current: u64,
    breached_since_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slice {
    starts: u64,
    /// Those that waited longer than the objective.
    late: u64,
    /// Those that waited longer than what counts as recovered.
    near: u64,
}

impl WaitWatch {
    /// A task has started, after waiting for so long.
    pub(crate) fn started(&mut self, objective: WaitObjective, waited_ms: u64, now_ms: u64) {
        self.turn_to(objective, now_ms);
        let near_ms = u128::from(objective.wait_p95_ms) * u128::from(RECOVERED_PERCENT) / 100;
        let slice = &mut self.slices[index(self.current)];
        slice.starts += 1;
        slice.late += u64::from(waited_ms > objective.wait_p95_ms);
        slice.near += u64::from(u128::from(waited_ms) > near_ms);
    }

    /// Until when the objective counts as breached, at least; `None` where it is met. The next task to start
    /// waits since `head_since_ms`.
    pub(crate) fn breached_until(
        &mut self,
        objective: WaitObjective,
        head_since_ms: Option<u64>,
        now_ms: u64,
    ) -> Option<u64> {
        self.turn_to(objective, now_ms);
        let sum = |count: fn(&Slice) -> u64| self.slices.iter().map(count).sum::<u64>();
        let (starts, late, near) = (sum(|it| it.starts), sum(|it| it.late), sum(|it| it.near));
        // Where nothing starts, nothing is late: but somebody waits.
        let is_stuck = head_since_ms
            .is_some_and(|since_ms| now_ms.saturating_sub(since_ms) > objective.wait_p95_ms);
        let is_late = |count: u64| count * ONE_IN > starts;
        let since_ms = match self.breached_since_ms {
            None if is_late(late) || is_stuck => now_ms,
            None => return None,
            Some(since_ms) => {
                let is_over = now_ms.saturating_sub(since_ms) >= objective.window_ms;
                if is_over && !is_late(near) && !is_stuck {
                    self.breached_since_ms = None;
                    return None;
                }
                since_ms
            }
        };
        self.breached_since_ms = Some(since_ms);
        Some(since_ms.saturating_add(objective.window_ms))
    }

    /// Forgets what is older than the window.
    fn turn_to(&mut self, objective: WaitObjective, now_ms: u64) {
        let slice_ms = (objective.window_ms / SLICES as u64).max(1);
        let now = now_ms / slice_ms;
        let passed = now.saturating_sub(self.current).min(SLICES as u64);
        for step in 0..passed {
            self.slices[index(now - step)] = Slice::default();
        }
        self.current = now.max(self.current);
    }
}

fn index(slice: u64) -> usize {
    usize::try_from(slice % SLICES as u64).expect("less than ten")
}
