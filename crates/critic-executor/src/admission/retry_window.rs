use crate::settings::RetryBudget;

/// Slices of the window. More are more exact and cost more memory per critic.
const SLICES: usize = 10;
/// The same number for instants.
const SLICES_NS: u64 = SLICES as u64;

/// Counts first attempts and retries of a critic over the last while, and says whether one more retry is within
/// its budget. Pure: instants are nanoseconds on the executor's clock.
#[derive(Debug)]
pub(crate) struct RetryWindow {
    budget: RetryBudget,
    slices: [Slice; SLICES],
    exhausted: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slice {
    number: u64,
    firsts: u64,
    retries: u64,
}

impl RetryWindow {
    pub(crate) fn new(budget: RetryBudget) -> Self {
        Self { budget, slices: [Slice::default(); SLICES], exhausted: 0 }
    }

    pub(crate) fn change(&mut self, budget: RetryBudget) {
        self.budget = budget;
    }

    /// Notes a first attempt.
    pub(crate) fn first(&mut self, now_ns: u64) {
        self.slice(now_ns).firsts += 1;
    }

    /// Forgets a first attempt that was noted a moment ago and did not start.
    pub(crate) fn take_back_first(&mut self, now_ns: u64) {
        let slice = self.slice(now_ns);
        slice.firsts = slice.firsts.saturating_sub(1);
    }

    /// Takes a retry if the budget has one.
    pub(crate) fn retry(&mut self, now_ns: u64) -> bool {
        let newest = self.number(now_ns);
        let counted = self.slices.iter().filter(|slice| slice.number + SLICES_NS > newest);
        let (firsts, retries) =
            counted.fold((0, 0), |(f, r), slice| (f + slice.firsts, r + slice.retries));
        let allowed = self.budget.ratio * firsts as f64
            + self.budget.per_second * self.budget.window.as_secs_f64();
        let is_allowed = (retries + 1) as f64 <= allowed;
        if is_allowed {
            self.slice(now_ns).retries += 1;
        } else {
            self.exhausted += 1;
        }
        is_allowed
    }

    /// How many retries were refused.
    pub(crate) fn exhausted(&self) -> u64 {
        self.exhausted
    }

    fn number(&self, now_ns: u64) -> u64 {
        let slice_ns = (self.budget.window.as_nanos() / u128::from(SLICES_NS)).max(1);
        u64::try_from(u128::from(now_ns) / slice_ns).unwrap_or(u64::MAX - SLICES_NS) + SLICES_NS
    }

    fn slice(&mut self, now_ns: u64) -> &mut Slice {
        let number = self.number(now_ns);
        let slice = &mut self.slices[(number % SLICES_NS) as usize];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice
    }
}
