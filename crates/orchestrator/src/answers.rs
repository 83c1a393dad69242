use adapter_host::{Finish, FinishReason, Output};
use prefetch::Lines;

use crate::{
    TaskSpec,
    assembler::{Assembler, Piece},
};

/// The answers of a task, each put together for itself: one, or as many as were asked for.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    choices: Vec<Assembler>,
}

impl Answers {
    pub(crate) fn new(spec: &TaskSpec) -> Self {
        let choices = 0..spec.output.choices().max(1);
        Self { choices: choices.map(|choice| Assembler::new(choice, &spec.stop)).collect() }
    }

    /// What taking an output in reads of the first answer, which mostly is the only one.
    pub(crate) fn lines(&self) -> Lines {
        self.choices.first().map_or(Lines::NONE, Lines::of)
    }

    /// Whether each answer met a stop string: nothing more is accepted.
    pub(crate) fn is_stopped(&self) -> bool {
        self.choices.iter().all(Assembler::is_stopped)
    }

    /// Tokens shown so far; `None` where they could not be counted.
    pub(crate) fn tokens_shown(&self) -> Option<u64> {
        self.choices.iter().map(Assembler::tokens_shown).sum()
    }

    /// Takes an output in, and gives what can be shown now. Adapters give no more answers than were asked
    /// for; one too many is not shown.
    pub(crate) fn push(&mut self, output: &Output, pieces: &mut Vec<Piece>) {
        if let Some(choice) = self.choices.get_mut(usize::from(output.choice)) {
            choice.push(output, pieces);
        }
    }

    /// The engine is done.
    pub(crate) fn finish(&mut self, pieces: &mut Vec<Piece>) {
        for choice in &mut self.choices {
            choice.finish(pieces);
        }
    }

    /// Why each answer ended, with what the engine said of it, if it did.
    pub(crate) fn finish_reasons(&self, finish: Option<&Finish>) -> Vec<&'static str> {
        let told = finish.into_iter().flat_map(|finish| {
            std::iter::once(finish.reason).chain(finish.further.iter().copied()).map(Some)
        });
        let choices = self.choices.iter().zip(told.chain(std::iter::repeat(None)));
        let reason = |(choice, told): (&Assembler, Option<FinishReason>)| match told {
            Some(reason) if !choice.is_stopped() => reason_name(reason),
            Some(_) | None => "stop",
        };
        choices.map(reason).collect()
    }
}

fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}
