use std::collections::{HashMap, VecDeque};

use adapter_host::Sampling;

use crate::{draw::uniform, exponential::exp};

/// Tokens, of prompt and answer, whose repetition `repeat_penalty` counts. As in llama.cpp.
pub const REPEAT_WINDOW: usize = 64;

/// Why no token could be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A parameter is outside its range.
    #[error("{parameter} is out of range")]
    OutOfRange { parameter: &'static str },
    /// The model computed no number, or an infinite one.
    #[error("the logit of token {id} is not a finite number")]
    NotFinite { id: usize },
    /// There are no logits.
    #[error("the model has no logits")]
    Empty,
}

/// Draws the tokens of one answer.
///
/// The chain, in llama.cpp's order:
/// 1. `repeat_penalty` on each token among the last [`REPEAT_WINDOW`] of prompt and answer, then
///    `frequency_penalty` and `presence_penalty` on each token of the answer;
/// 2. with a temperature of 0 the likeliest token is taken and the rest does not apply;
/// 3. `top_k`; `top_p` of what that left, `min_p` relative to the likeliest, both as the model has it,
///    before the temperature;
/// 4. the temperature, and a draw with the random number for (seed, index).
///
/// Where tokens are equally likely the lower id comes first. All of it is a function of the logits, the
/// parameters and the tokens before: a sampler made with the tokens accepted so far goes on exactly like
/// the one that drew them.
pub struct Sampler {
    sampling: Sampling,
    window: VecDeque<u32>,
    generated: HashMap<u32, u32>,
    index: u64,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy)]
struct Candidate {
    id: u32,
    logit: f32,
    weight: f32,
}

impl Sampler {
    /// A sampler for the token after `accepted`, which follow `prompt`.
    ///
    /// # Errors
    /// [`SampleError::OutOfRange`].
    pub fn new(sampling: Sampling, prompt: &[u32], accepted: &[u32]) -> Result<Self, SampleError> {
        check(&sampling)?;
        let window = VecDeque::with_capacity(REPEAT_WINDOW);
        let (generated, candidates) = (HashMap::new(), Vec::new());
        let mut sampler = Self { sampling, window, generated, index: 0, candidates };
        prompt.iter().for_each(|&id| sampler.remember(id));
        accepted.iter().for_each(|&id| sampler.accept(id));
        Ok(sampler)
    }

    /// Draws the next token. Logits are changed by the penalties.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`] and [`SampleError::Empty`].
    pub fn sample(&mut self, logits: &mut [f32]) -> Result<u32, SampleError> {
        if let Some(id) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(SampleError::NotFinite { id });
        }
        self.penalise(logits);
        let (likeliest, max) = likeliest(logits).ok_or(SampleError::Empty)?;
        if self.sampling.temperature == 0.0 {
            return Ok(likeliest);
        }
        self.gather(logits, max);
        self.keep_top_k();
        self.keep_top_p();
        let min_p = self.sampling.min_p;
        self.candidates.retain(|candidate| candidate.weight >= min_p);
        Ok(self.draw(max))
    }

    /// Counts a token as part of the answer.
    pub fn accept(&mut self, id: u32) {
        self.remember(id);
        *self.generated.entry(id).or_default() += 1;
        self.index += 1;
    }

    fn remember(&mut self, id: u32) {
        if self.window.len() == REPEAT_WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(id);
    }

    fn penalise(&self, logits: &mut [f32]) {
        let Sampling { repeat_penalty, presence_penalty, frequency_penalty, .. } = self.sampling;
        if repeat_penalty != 1.0 {
            let mut seen: Vec<u32> = self.window.iter().copied().collect();
            seen.sort_unstable();
            seen.dedup();
            for id in seen {
                if let Some(logit) = logits.get_mut(id as usize) {
                    let is_likely = *logit > 0.0;
                    *logit =
                        if is_likely { *logit / repeat_penalty } else { *logit * repeat_penalty };
                }
            }
        }
        if presence_penalty != 0.0 || frequency_penalty != 0.0 {
            for (&id, &count) in &self.generated {
                if let Some(logit) = logits.get_mut(id as usize) {
                    #[expect(clippy::cast_precision_loss, reason = "answers are below 2^24 tokens")]
                    let count = count as f32;
                    *logit -= count * frequency_penalty + presence_penalty;
                }
            }
        }
    }

    /// Makes candidates of all tokens, in the order of their ids, with weights at temperature 1.
    fn gather(&mut self, logits: &[f32], max: f32) {
        self.candidates.clear();
        self.candidates.extend((0..).zip(logits).map(|(id, &logit)| Candidate {
            id,
            logit,
            weight: exp(logit - max),
        }));
    }

    fn keep_top_k(&mut self) {
        let k = self.sampling.top_k as usize;
        if k > 0 && k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(k - 1, likelier_first);
            self.candidates.truncate(k);
            self.candidates.sort_unstable_by(likelier_first);
        }
    }

    fn keep_top_p(&mut self) {
        if self.sampling.top_p >= 1.0 {
            return;
        }
        let goal = f64::from(self.sampling.top_p) * self.candidates.iter().map(weight).sum::<f64>();
        // Mostly a few tokens suffice: sort so many, and eight times more while they do not.
        let mut sorted = 0;
        loop {
            let count = (sorted * 8).max(128);
            if count < self.candidates.len() {
                self.candidates[sorted..]
                    .select_nth_unstable_by(count - 1 - sorted, likelier_first);
            }
            let end = count.min(self.candidates.len());
            self.candidates[sorted..end].sort_unstable_by(likelier_first);
            sorted = end;
            let mut reached = 0.0;
            let last = self.candidates[..sorted].iter().position(|candidate| {
                reached += weight(candidate);
                reached >= goal
            });
            if last.is_some() || sorted == self.candidates.len() {
                self.candidates.truncate(last.map_or(sorted, |last| last + 1));
                return;
            }
        }
    }

    fn draw(&mut self, max: f32) -> u32 {
        for candidate in &mut self.candidates {
            candidate.weight = exp((candidate.logit - max) / self.sampling.temperature);
        }
        let total = self.candidates.iter().map(weight).sum::<f64>();
        let goal = uniform(self.sampling.seed, self.index) * total;
        let mut reached = 0.0;
        let drawn = self.candidates.iter().find(|candidate| {
            reached += weight(candidate);
            reached > goal
        });
        // The sum above ends at `total`, which is above `goal`, so there is one.
        drawn.expect("a number below the total is reached").id
    }
}

fn check(sampling: &Sampling) -> Result<(), SampleError> {
    let Sampling { temperature, top_p, min_p, .. } = *sampling;
    let Sampling { repeat_penalty, presence_penalty, frequency_penalty, .. } = *sampling;
    let ranges = [
        (temperature.is_finite() && temperature >= 0.0, "temperature"),
        (top_p > 0.0 && top_p <= 1.0, "top_p"),
        ((0.0..=1.0).contains(&min_p), "min_p"),
        (repeat_penalty.is_finite() && repeat_penalty > 0.0, "repeat_penalty"),
        (presence_penalty.is_finite(), "presence_penalty"),
        (frequency_penalty.is_finite(), "frequency_penalty"),
    ];
    match ranges.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, parameter)) => Err(SampleError::OutOfRange { parameter }),
    }
}

fn likeliest(logits: &[f32]) -> Option<(u32, f32)> {
    (0..).zip(logits.iter().copied()).reduce(|best, next| if next.1 > best.1 { next } else { best })
}

fn likelier_first(left: &Candidate, right: &Candidate) -> std::cmp::Ordering {
    right.logit.total_cmp(&left.logit).then(left.id.cmp(&right.id))
}

fn weight(candidate: &Candidate) -> f64 {
    f64::from(candidate.weight)
}
