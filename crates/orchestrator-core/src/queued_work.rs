use crate::{
    Work,
    service_times::{Speed, float},
};

/// What the queued tasks of a lane are together, so that their mean is known without asking each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct QueuedWork {
    tasks: u64,
    /// Tasks whose prompt was counted, and its tokens.
    prompts: (u64, u64),
    /// Tasks with an expectation, and the tokens of the answer that they expect.
    expected: (u64, u64),
    /// Tasks without one whose answer is bounded, and these bounds.
    bounded: (u64, u64),
}

impl QueuedWork {
    pub(crate) fn add(&mut self, work: &Work) {
        self.tasks += 1;
        self.count(work, |sum, tokens| *sum = (sum.0 + 1, sum.1.saturating_add(tokens)));
    }

    /// Takes away what was added before.
    pub(crate) fn remove(&mut self, work: &Work) {
        self.tasks -= 1;
        self.count(work, |sum, tokens| *sum = (sum.0 - 1, sum.1.saturating_sub(tokens)));
    }

    fn count(&mut self, work: &Work, change: impl Fn(&mut (u64, u64), u64)) {
        if let Some(tokens) = work.prompt_tokens {
            change(&mut self.prompts, tokens);
        }
        if let Some(tokens) = work.expected_tokens {
            let most = work.answer_tokens_max.unwrap_or(u64::MAX);
            change(&mut self.expected, tokens.min(most));
        } else if let Some(most) = work.answer_tokens_max {
            change(&mut self.bounded, most);
        }
    }

    /// How long one of the tasks holds a slot, on the average; any task of the model, where there is none.
    pub(crate) fn mean_ms(&self, speed: &Speed) -> f64 {
        let mean = |(count, sum): (u64, u64)| (count > 0).then(|| float(sum) / float(count));
        let others = speed.mean_answer(mean(self.bounded));
        let answer = match mean(self.expected) {
            Some(expected) => {
                let share = float(self.expected.0) / float(self.tasks.max(1));
                expected * share + others * (1.0 - share)
            }
            None => others,
        };
        speed.prefill_ms(mean(self.prompts)) + speed.decode_ms(answer)
    }
}
