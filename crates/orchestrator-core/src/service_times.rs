use std::collections::VecDeque;

/// Attempts that are remembered of a model. The window is the sketch: means, medians and spreads are exact
/// over it, and follow a change of speed within so many attempts.
const WINDOW: usize = 64;

/// Attempts from which something can be said of a model.
const SAMPLES_MIN: usize = 3;

/// How far past the longest known answer an attempt may be and still be about to end, as a factor.
const OVERDUE: f64 = 1.25;

/// What a completed attempt took. Both times together are all the time that it held its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceSample {
    pub prompt_tokens: u64,
    /// From the dispatch to the first token.
    pub prefill_ms: u64,
    pub answer_tokens: u64,
    /// From the first token to the end.
    pub decode_ms: u64,
}

/// How much work a task is, as far as it is known before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    pub prompt_tokens: Option<u64>,
    /// Tokens that the client expects of the answer.
    pub expected_tokens: Option<u64>,
    /// Most tokens of the answer. Bounds what is expected, and is never taken for it.
    pub answer_tokens_max: Option<u64>,
}

/// What the last attempts of a model took.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceTimes {
    samples: VecDeque<ServiceSample>,
    speed: Option<Speed>,
    pub(crate) measured_at_ms: u64,
}

/// What the times of a model come to.
#[derive(Debug, Clone)]
pub(crate) struct Speed {
    prefill: Line,
    decode: Line,
    /// Ascending.
    answers: Vec<f64>,
    /// The sum of the answers from each on; one more than there are, the last one 0.
    answers_from: Vec<f64>,
    /// Standard deviation of the whole time of an attempt, in milliseconds.
    pub(crate) deviation_ms: f64,
}

/// A straight line through measured points, with which nothing is ever negative.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: f64,
    slope: f64,
    mean_x: f64,
}

impl ServiceTimes {
    /// Oldest first.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &ServiceSample> {
        self.samples.iter()
    }

    pub(crate) fn add(&mut self, sample: ServiceSample, now_ms: u64) {
        if self.samples.len() == WINDOW {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.measured_at_ms = now_ms;
        self.speed = (self.samples.len() >= SAMPLES_MIN).then(|| Speed::of(&self.samples));
    }

    /// `None` while too few attempts were measured.
    pub(crate) fn speed(&self) -> Option<&Speed> {
        self.speed.as_ref()
    }
}

impl Speed {
    fn of(samples: &VecDeque<ServiceSample>) -> Self {
        let samples = || samples.iter();
        let prefill = samples().map(|one| (float(one.prompt_tokens), float(one.prefill_ms)));
        let decode = samples().map(|one| (float(one.answer_tokens), float(one.decode_ms)));
        let totals = samples().map(|one| float(one.prefill_ms) + float(one.decode_ms));
        let mut answers: Vec<f64> = samples().map(|one| float(one.answer_tokens)).collect();
        answers.sort_by(f64::total_cmp);
        let mut answers_from = vec![0.0; answers.len() + 1];
        for (at, answer) in answers.iter().enumerate().rev() {
            answers_from[at] = answers_from[at + 1] + answer;
        }
        Self {
            prefill: Line::through(prefill),
            decode: Line::through(decode),
            answers,
            answers_from,
            deviation_ms: deviation(totals),
        }
    }

    /// Attempts that it was measured of.
    pub(crate) fn samples(&self) -> usize {
        self.answers.len()
    }

    /// From the dispatch to the first token.
    pub(crate) fn prefill_ms(&self, prompt_tokens: Option<f64>) -> f64 {
        self.prefill.at(prompt_tokens.unwrap_or(self.prefill.mean_x))
    }

    pub(crate) fn decode_ms(&self, answer_tokens: f64) -> f64 {
        self.decode.at(answer_tokens)
    }

    /// Tokens of the answer that is as long as one half of them at least: what `work` expects, or the median.
    pub(crate) fn median_answer(&self, work: &Work) -> f64 {
        let median = self.answers[self.answers.len() / 2];
        let expected = work.expected_tokens.map_or(median, float);
        expected.min(work.answer_tokens_max.map_or(f64::INFINITY, float))
    }

    /// Mean tokens of answers none of which is longer than `answer_max`.
    pub(crate) fn mean_answer(&self, answer_max: Option<f64>) -> f64 {
        self.mean_answer_from(0, answer_max.unwrap_or(f64::INFINITY))
    }

    /// Mean tokens of the answers from the one at `from` on, which is there, none of which is longer than
    /// `answer_max`.
    fn mean_answer_from(&self, from: usize, answer_max: f64) -> f64 {
        let shorter = self.answers.partition_point(|answer| *answer < answer_max).max(from);
        let cut = self.answers.len() - shorter;
        let mut sum = self.answers_from[from] - self.answers_from[shorter];
        if cut > 0 {
            sum += answer_max * float(cut as u64);
        }
        sum / float((self.answers.len() - from) as u64)
    }

    /// How long a task that began `elapsed_ms` ago should go on; `None` where none of its kind took so long.
    pub(crate) fn until_end_ms(&self, work: &Work, elapsed_ms: f64) -> Option<f64> {
        let prefill_ms = self.prefill_ms(work.prompt_tokens.map(float));
        let answer_max = work.answer_tokens_max.map_or(f64::INFINITY, float);
        let left_ms =
            |answer: f64| prefill_ms + self.decode_ms(answer.min(answer_max)) - elapsed_ms;
        let left_ms = match work.expected_tokens.map(float) {
            Some(expected) => left_ms(expected),
            None => {
                let passed = self.answers.partition_point(|answer| left_ms(*answer) <= 0.0);
                left_ms(*self.answers[passed..].get((self.answers.len() - passed) / 2)?)
            }
        };
        (left_ms > 0.0).then_some(left_ms)
    }

    /// How long a task that began `elapsed_ms` ago will go on: as long as those of its kind that were not
    /// shorter. One that is overdue by far may go on as long again. Takes O(log samples).
    pub(crate) fn remaining_ms(&self, work: &Work, elapsed_ms: f64) -> f64 {
        let prefill_ms = self.prefill_ms(work.prompt_tokens.map(float));
        let answer_max = work.answer_tokens_max.map_or(f64::INFINITY, float);
        let whole_ms = |answer: f64| prefill_ms + self.decode_ms(answer.min(answer_max));
        let longest = match work.expected_tokens.map(float) {
            Some(expected) if whole_ms(expected) > elapsed_ms => {
                return whole_ms(expected) - elapsed_ms;
            }
            Some(expected) => expected,
            None => {
                // Longer answers take longer.
                let passed = self.answers.partition_point(|answer| whole_ms(*answer) <= elapsed_ms);
                if passed < self.answers.len() {
                    let mean = self.mean_answer_from(passed, answer_max);
                    return prefill_ms + self.decode_ms(mean) - elapsed_ms;
                }
                self.answers[passed - 1]
            }
        };
        if elapsed_ms <= whole_ms(longest) * OVERDUE {
            return 0.0;
        }
        prefill_ms + self.decode_ms(self.mean_answer(Some(answer_max)))
    }
}

impl Line {
    /// By least squares; through the mean alone where the points tell no slope, or a negative one.
    fn through(points: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let count = float(points.clone().count() as u64);
        let mean_x = points.clone().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.clone().map(|(_, y)| y).sum::<f64>() / count;
        let spread: f64 = points.clone().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let together: f64 = points.map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let slope = if spread > 0.0 { together / spread } else { 0.0 };
        let start = mean_y - slope * mean_x;
        if spread > 0.0 && slope >= 0.0 && start >= 0.0 {
            return Self { start, slope, mean_x };
        }
        // All points at one place, or a line that would go below zero: in proportion, as work is.
        if mean_x > 0.0 && slope >= 0.0 {
            return Self { start: 0.0, slope: mean_y / mean_x, mean_x };
        }
        Self { start: mean_y, slope: 0.0, mean_x }
    }

    fn at(&self, x: f64) -> f64 {
        self.start + self.slope * x
    }
}

fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = float(values.clone().count() as u64);
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (squares / (count - 1.0).max(1.0)).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^52")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}
