use std::collections::{BTreeMap, VecDeque};

use crate::{Class, Waits, service_times::float};

/// Outcomes that are remembered of forecasts of one kind.
const WINDOW: usize = 64;

/// Outcomes of a class from which on something can be said of who passes it.
const OUTCOMES_MIN: usize = 3;

/// Of a queue's tasks, about so many at once are held against their forecasts.
const WATCHED: u64 = 64;

/// Share of the waits that is meant to end before the interval, and behind it.
const TAIL: f64 = 0.1;

/// How much one outcome inside or outside of the interval moves its end.
const TAIL_STEP: f64 = 0.02;

/// Between what the ends of the interval are moved.
const TAIL_BOUNDS: (f64, f64) = (0.0, TAIL);

/// Middles of ten equal shares of a standard normal distribution, by its quantile function.
const NORMAL: [f64; 10] =
    [-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645];

/// How forecasts of starts turned out, so that later ones can be set right.
///
/// What a model of a queue leaves out (who comes later and passes, who gives up, engines that slow each other
/// down) shows in how far it was off, and it is off alike where things are alike. So the interval is cut out
/// of what came of the last forecasts, as in split conformal prediction (Lei et al., 2018), rather than out of
/// a distribution that is only assumed; the assumed one counts as ten outcomes, until there are real ones.
/// Where the load changes so that the last outcomes say little about the next, the ends move until as many lie
/// outside as should, as in adaptive conformal inference (Gibbs and Candès, 2021).
#[derive(Debug, Clone, Default)]
pub(crate) struct Calibration {
    outcomes: BTreeMap<Kind, VecDeque<f64>>,
    tails: BTreeMap<Kind, Tails>,
    unwatched: u64,
}

/// Forecasts that are taken to be alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    class: Class,
    /// Binary logarithm of the starts ahead.
    depth: u32,
}

/// What the model of the queue says of a task's wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) kind: Kind,
    pub(crate) model_ms: f64,
    /// What the model expects to be off by, as a standard deviation.
    pub(crate) deviation_ms: f64,
    /// Time between starts, below which nothing is told apart.
    pub(crate) grain_ms: f64,
}

/// A wait that was set right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calibrated {
    pub(crate) earliest_ms: f64,
    pub(crate) middle_ms: f64,
    pub(crate) latest_ms: f64,
}

/// What was foretold of a task, to be held against what comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foretold {
    at_ms: u64,
    wait: Wait,
    interval: Calibrated,
}

/// Shares of the outcomes that the interval leaves out at its ends.
#[derive(Debug, Clone, Copy)]
struct Tails {
    before: f64,
    behind: f64,
}

impl Default for Tails {
    fn default() -> Self {
        Self { before: TAIL, behind: TAIL }
    }
}

impl Kind {
    pub(crate) fn class(self) -> Class {
        self.class
    }

    pub(crate) fn new(class: Class, ahead: u64) -> Self {
        Self { class, depth: u64::BITS - ahead.leading_zeros() }
    }
}

impl Wait {
    /// How much longer it took than the model says.
    fn factor(&self, wait_ms: f64) -> f64 {
        (wait_ms + self.grain_ms) / (self.model_ms + self.grain_ms)
    }

    fn wait_ms(&self, factor: f64) -> f64 {
        (factor * (self.model_ms + self.grain_ms) - self.grain_ms).max(0.0)
    }
}

impl Foretold {
    /// Whether the task should have started by now.
    pub(crate) fn is_past(&self, now_ms: u64) -> bool {
        self.waited_ms(now_ms) > self.interval.middle_ms
    }

    fn waited_ms(&self, now_ms: u64) -> f64 {
        float(now_ms.saturating_sub(self.at_ms))
    }
}

impl Calibration {
    /// Whether one more task of a queue of `queued` is to be watched.
    pub(crate) fn is_due(&mut self, queued: u64) -> bool {
        self.unwatched += 1;
        let is_due = self.unwatched * WATCHED >= queued;
        if is_due {
            self.unwatched = 0;
        }
        is_due
    }

    /// Whether enough is known of the waits of `class`.
    pub(crate) fn knows(&self, class: Class) -> bool {
        let of_class = self.outcomes.iter().filter(|(kind, _)| kind.class == class);
        of_class.map(|(_, outcomes)| outcomes.len()).sum::<usize>() >= OUTCOMES_MIN
    }

    pub(crate) fn foretell(&self, wait: Wait, now_ms: u64) -> Foretold {
        Foretold { at_ms: now_ms, wait, interval: self.apply(&wait) }
    }

    /// Everything that was learned.
    pub(crate) fn waits(&self) -> Vec<Waits> {
        let of_kind = |(kind, factors): (&Kind, &VecDeque<f64>)| {
            let tails = self.tails.get(kind).copied().unwrap_or_default();
            Waits {
                class: kind.class,
                depth: kind.depth,
                factors: factors.iter().copied().collect(),
                tails: [tails.before, tails.behind],
            }
        };
        self.outcomes.iter().map(of_kind).collect()
    }

    /// Takes over what was learned before, in place of what it knows of this kind. What cannot have been
    /// learned is left out.
    pub(crate) fn recall(&mut self, waits: &Waits) {
        let Waits { class, depth, ref factors, tails } = *waits;
        let kind = Kind { class, depth };
        let is_factor = |factor: &&f64| factor.is_finite() && **factor >= 0.0;
        let last = factors.iter().filter(is_factor).rev().take(WINDOW);
        let mut outcomes: VecDeque<f64> = last.copied().collect();
        outcomes.make_contiguous().reverse();
        let [before, behind] = tails;
        let is_share = |tail: f64| (TAIL_BOUNDS.0..=TAIL_BOUNDS.1).contains(&tail);
        if depth > u64::BITS || outcomes.is_empty() || !is_share(before) || !is_share(behind) {
            return;
        }
        self.outcomes.insert(kind, outcomes);
        self.tails.insert(kind, Tails { before, behind });
    }

    /// What was foretold has come, or was given up later than that.
    pub(crate) fn learn(&mut self, foretold: &Foretold, now_ms: u64) {
        let Foretold { wait, interval, .. } = foretold;
        let waited_ms = foretold.waited_ms(now_ms);
        let tails = self.tails.entry(wait.kind).or_default();
        let follow = |tail: &mut f64, is_out: bool| {
            let wanted = *tail + TAIL_STEP * (TAIL - f64::from(u8::from(is_out)));
            *tail = wanted.clamp(TAIL_BOUNDS.0, TAIL_BOUNDS.1);
        };
        follow(&mut tails.before, waited_ms < interval.earliest_ms - 1.0);
        follow(&mut tails.behind, waited_ms > interval.latest_ms + 1.0);
        let outcomes = self.outcomes.entry(wait.kind).or_default();
        if outcomes.len() == WINDOW {
            outcomes.pop_front();
        }
        outcomes.push_back(wait.factor(waited_ms));
    }

    /// `wait`, set right by what came of others like it.
    pub(crate) fn apply(&self, wait: &Wait) -> Calibrated {
        let assumed = |z: &f64| wait.factor((wait.model_ms + z * wait.deviation_ms).max(0.0));
        let mut factors: Vec<f64> = NORMAL.iter().map(assumed).collect();
        factors.extend(self.outcomes.get(&wait.kind).into_iter().flatten());
        factors.sort_by(f64::total_cmp);
        let tails = self.tails.get(&wait.kind).copied().unwrap_or_default();
        let at = |share: f64| wait.wait_ms(quantile(&factors, share));
        Calibrated {
            earliest_ms: at(tails.before),
            middle_ms: at(0.5),
            latest_ms: at(1.0 - tails.behind),
        }
    }
}

/// The value below which a share of a distribution lies, by a sorted sample of it; between two values in
/// proportion. The sample's values are at shares `1/(n+1)` to `n/(n+1)`: where the next value falls among
/// `n` others is as likely before the first as behind the last.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    let at = (share * float(sorted.len() as u64 + 1) - 1.0).clamp(0.0, float(last as u64));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (at - at.floor())
}
