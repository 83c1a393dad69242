//! When a task should start, worked out start by start, beside what the scheduler says without doing so.

use std::{cmp::Ordering, collections::BinaryHeap};

use orchestrator_core::{Event, Offer, ServiceSample, Work};
use proptest::prelude::*;

use crate::house::{House, by, id, model, starts};

/// A straight line: what it is at 0, by how much it grows, and the mean of what it was measured at.
type Line = (f64, f64, f64);

#[expect(clippy::cast_precision_loss, reason = "counts and times of tests are small")]
fn float(number: u64) -> f64 {
    number as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / float(values.len() as u64)
}

fn line(points: &[(u64, u64)]) -> Line {
    let xs: Vec<f64> = points.iter().map(|point| float(point.0)).collect();
    let ys: Vec<f64> = points.iter().map(|point| float(point.1)).collect();
    let (x, y) = (mean(&xs), mean(&ys));
    let spread: f64 = xs.iter().map(|one| (one - x).powi(2)).sum();
    let together: f64 = xs.iter().zip(&ys).map(|(one, other)| (one - x) * (other - y)).sum();
    let slope = if spread > 0.0 { together / spread } else { 0.0 };
    let start = y - slope * x;
    match () {
        () if spread > 0.0 && slope >= 0.0 && start >= 0.0 => (start, slope, x),
        () if x > 0.0 && slope >= 0.0 => (0.0, y / x, x),
        () => (y, 0.0, x),
    }
}

fn at(line: Line, x: f64) -> f64 {
    line.0 + line.1 * x
}

/// What was measured, each value asked one by one.
struct Measured {
    prefill: Line,
    decode: Line,
    answers: Vec<f64>,
}

impl Measured {
    fn new(samples: &[ServiceSample]) -> Self {
        let of = |point: fn(&ServiceSample) -> (u64, u64)| -> Vec<(u64, u64)> {
            samples.iter().map(point).collect()
        };
        let mut answers: Vec<f64> = samples.iter().map(|one| float(one.answer_tokens)).collect();
        answers.sort_by(f64::total_cmp);
        Self {
            prefill: line(&of(|one| (one.prompt_tokens, one.prefill_ms))),
            decode: line(&of(|one| (one.answer_tokens, one.decode_ms))),
            answers,
        }
    }

    fn prefill_ms(&self, prompt_tokens: Option<f64>) -> f64 {
        at(self.prefill, prompt_tokens.unwrap_or(self.prefill.2))
    }

    fn mean_answer(&self, most: Option<f64>) -> f64 {
        let most = most.unwrap_or(f64::INFINITY);
        mean(&self.answers.iter().map(|answer| answer.min(most)).collect::<Vec<_>>())
    }

    fn remaining_ms(&self, work: &Work, elapsed_ms: f64) -> f64 {
        let most = work.answer_tokens_max.map_or(f64::INFINITY, float);
        let prefill_ms = self.prefill_ms(work.prompt_tokens.map(float));
        let whole_ms = |answer: f64| prefill_ms + at(self.decode, answer.min(most));
        let answers = work.expected_tokens.map_or(self.answers.clone(), |one| vec![float(one)]);
        let longer: Vec<f64> =
            answers.iter().map(|one| whole_ms(*one)).filter(|ms| *ms > elapsed_ms).collect();
        if !longer.is_empty() {
            return mean(&longer) - elapsed_ms;
        }
        if elapsed_ms <= whole_ms(*answers.last().unwrap()) * 1.25 {
            return 0.0;
        }
        prefill_ms + at(self.decode, self.mean_answer(Some(most)))
    }

    /// How long one of `queued` holds a slot, on the average.
    fn mean_ms(&self, queued: &[Work]) -> f64 {
        let of = |value: &dyn Fn(&Work) -> Option<u64>| -> Option<f64> {
            let values: Vec<f64> = queued.iter().filter_map(value).map(float).collect();
            (!values.is_empty()).then(|| mean(&values))
        };
        let most = |work: &Work| work.answer_tokens_max.unwrap_or(u64::MAX);
        let told = of(&|work| work.expected_tokens.map(|tokens| tokens.min(most(work))));
        let bounded = of(&|work| work.answer_tokens_max.filter(|_| work.expected_tokens.is_none()));
        let with = queued.iter().filter(|work| work.expected_tokens.is_some()).count() as u64;
        let share = float(with) / float(queued.len().max(1) as u64);
        let others = self.mean_answer(bounded);
        let answer = told.map_or(others, |told| told * share + others * (1.0 - share));
        self.prefill_ms(of(&|work| work.prompt_tokens)) + at(self.decode, answer)
    }
}

/// An instant; the earliest is the greatest.
#[derive(PartialEq)]
struct Free(f64);

impl Eq for Free {}

impl PartialOrd for Free {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Free {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0)
    }
}

/// When the start comes that `ahead` others come before, each on the slot that is free first.
fn start_ms(free_after_ms: Vec<f64>, ahead: u64, each_ms: f64) -> f64 {
    let mut slots: BinaryHeap<Free> = free_after_ms.into_iter().map(Free).collect();
    for _ in 0..ahead {
        let Free(at_ms) = slots.pop().unwrap();
        slots.push(Free(at_ms + each_ms.max(1.0)));
    }
    slots.pop().unwrap().0.max(0.0)
}

fn works() -> impl Strategy<Value = Work> {
    let tokens = || prop::option::of(1..600_u64);
    (tokens(), tokens(), tokens()).prop_map(
        |(prompt_tokens, expected_tokens, answer_tokens_max)| Work {
            prompt_tokens,
            expected_tokens,
            answer_tokens_max,
        },
    )
}

fn samples() -> impl Strategy<Value = Vec<ServiceSample>> {
    let sample = (1..600_u64, 0..500_u64, 1..600_u64, 0..9000_u64);
    let sample = sample.prop_map(|(prompt_tokens, prefill_ms, answer_tokens, decode_ms)| {
        ServiceSample { prompt_tokens, prefill_ms, answer_tokens, decode_ms }
    });
    prop::collection::vec(sample, 3..64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Verifies: ORCH-048
    #[test]
    fn a_start_is_foreseen_as_if_each_start_before_it_were_worked_out(
        samples in samples(),
        slots in 1..40_u32,
        works in prop::collection::vec((works(), 0..400_u64), 1..160),
        identities in 1..9_usize,
        later_ms in 0..20_000_u64,
    ) {
        let mut house = House::new();
        for sample in &samples {
            house.step(Event::Measured { model: model("m"), sample: *sample });
        }
        house.serve("pool.0", &["m"], slots);
        let (mut running, mut queued) = (Vec::new(), Vec::new());
        for (number, (work, pause_ms)) in (1..).zip(&works) {
            house.now_ms += pause_ms;
            let who = format!("i{}", usize::try_from(number).unwrap() % identities);
            let started = starts(&house.admit(Offer { work: *work, ..by(&who, number) }));
            if started.is_empty() {
                queued.push((number, *work));
            } else {
                running.push((house.now_ms, *work));
            }
        }
        let now_ms = house.now_ms + later_ms;
        let measured = Measured::new(&samples);
        let of_queue: Vec<Work> = queued.iter().map(|(_, work)| *work).collect();
        let each_ms = measured.mean_ms(&of_queue);
        let ends = |(since_ms, work): &(u64, Work)| {
            measured.remaining_ms(work, float(now_ms - since_ms)).max(1.0)
        };
        let free_after_ms: Vec<f64> = running.iter().map(ends).collect();
        for (number, _) in &queued {
            let ahead = house.position(*number).unwrap();
            let forecast = house.scheduler.forecast(id(*number), now_ms).unwrap();
            prop_assert_eq!(forecast.starts_ahead, ahead);
            // What may be off by more than the wait is cut at 0, and so is its middle; who starts next has
            // seen others start.
            if forecast.start_ms_earliest == 0 || ahead == 0 {
                continue;
            }
            let naive_ms = start_ms(free_after_ms.clone(), ahead, each_ms);
            let told_ms = float(forecast.start_ms);
            // Sums in another order differ by less than what is rounded.
            prop_assert!((told_ms - naive_ms).abs() <= 0.5 + 1e-3, "{told_ms} told, {naive_ms} found");
        }
    }
}
