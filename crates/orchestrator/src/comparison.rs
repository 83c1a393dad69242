use std::collections::VecDeque;

use adapter_host::{Channel, Output, ToolCallPart};
use bytes::{Buf as _, Bytes};

/// Holds what an engine generates again against what was accepted before, and lets only the rest pass. Each
/// answer is compared for itself: engines mix them as they come.
#[derive(Debug)]
pub(crate) struct Comparison {
    expected: Vec<VecDeque<Expected>>,
}

/// One output that was accepted.
#[derive(Debug)]
struct Expected {
    channel: Channel,
    /// Number of the tool call.
    call: Option<u32>,
    bytes: Bytes,
}

/// What is generated now is not what was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Differs;

impl Comparison {
    /// Expects `outputs` again, however they are cut.
    pub(crate) fn new(outputs: &[Output]) -> Self {
        let mut comparison = Self { expected: Vec::new() };
        for output in outputs {
            let call = output.tool.as_ref().map(|tool| tool.index);
            let bytes = said(output);
            if !bytes.is_empty() {
                let expected = Expected { channel: output.channel, call, bytes };
                comparison.of_choice(output.choice).push_back(expected);
            }
        }
        comparison
    }

    fn of_choice(&mut self, choice: u16) -> &mut VecDeque<Expected> {
        let choice = usize::from(choice);
        if self.expected.len() <= choice {
            self.expected.resize_with(choice + 1, VecDeque::new);
        }
        &mut self.expected[choice]
    }

    /// Whether all that was accepted has come again.
    pub(crate) fn is_done(&self) -> bool {
        self.expected.iter().all(VecDeque::is_empty)
    }

    /// What of an output is new.
    pub(crate) fn check(&mut self, output: Output) -> Result<Option<Output>, Differs> {
        let expected = self.of_choice(output.choice);
        if expected.is_empty() {
            return Ok(Some(output));
        }
        let call = output.tool.as_ref().map(|tool| tool.index);
        let mut bytes = said(&output);
        while !bytes.is_empty() {
            let Some(next) = expected.front_mut() else {
                // The engine cuts its chunks otherwise this time: how many tokens of this one are new is
                // not known.
                let tool = call.map(|index| ToolCallPart { index, id: None, name: None });
                let rest = Output { id: None, tokens: None, bytes, tool, logprobs: None, ..output };
                return Ok(Some(rest));
            };
            let len = next.bytes.len().min(bytes.len());
            let is_same = next.channel == output.channel && next.call == call;
            if !is_same || next.bytes[..len] != bytes[..len] {
                return Err(Differs);
            }
            next.bytes.advance(len);
            bytes.advance(len);
            if next.bytes.is_empty() {
                expected.pop_front();
            }
        }
        Ok(None)
    }
}

/// What an output says: its bytes, and the name of a function that is called. Engines make up the ids of
/// calls anew each time, so the ones shown first stay.
fn said(output: &Output) -> Bytes {
    match output.tool.as_ref().and_then(|tool| tool.name.as_ref()) {
        None => output.bytes.clone(),
        Some(name) => [name.as_bytes(), b"\0", &output.bytes].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Output {
        Output::text(None, Some(1), Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Verifies: ORCH-102
    #[test]
    fn what_comes_again_is_swallowed_and_only_the_rest_passes() {
        let mut comparison = Comparison::new(&[output("one "), output("two ")]);
        assert_eq!(comparison.check(output("one ")), Ok(None));
        assert!(!comparison.is_done());
        assert_eq!(comparison.check(output("two ")), Ok(None));
        assert!(comparison.is_done());
        assert_eq!(comparison.check(output("three")), Ok(Some(output("three"))));
    }

    /// Verifies: ORCH-102
    #[test]
    fn chunks_that_are_cut_otherwise_are_compared_by_their_bytes() {
        let mut comparison = Comparison::new(&[output("one "), output("two ")]);
        assert_eq!(comparison.check(output("one tw")), Ok(None));
        let rest = comparison.check(output("o three")).unwrap().unwrap();
        assert_eq!((rest.bytes.as_ref(), rest.tokens), (b"three".as_ref(), None));
    }

    /// Verifies: ORCH-103
    #[test]
    fn the_first_difference_is_noticed() {
        let mut comparison = Comparison::new(&[output("one "), output("two ")]);
        assert_eq!(comparison.check(output("one t")), Ok(None));
        assert_eq!(comparison.check(output("hree")), Err(Differs));
        let mut comparison = Comparison::new(&[output("one ")]);
        let reasoning = Output { channel: Channel::Reasoning, ..output("one ") };
        assert_eq!(comparison.check(reasoning), Err(Differs));
    }

    fn call(id: &str, name: Option<&str>, arguments: &str) -> Output {
        let name = name.map(str::to_owned);
        Output {
            channel: Channel::Tool,
            tool: Some(ToolCallPart { index: 0, id: Some(id.to_owned()), name }),
            ..output(arguments)
        }
    }

    /// Verifies: ORCH-102
    #[test]
    fn calls_are_compared_by_name_and_arguments_and_not_by_their_ids() {
        let shown = [call("one", Some("f"), ""), call("one", None, "{\"a")];
        let mut comparison = Comparison::new(&shown);
        let rest = comparison.check(call("two", Some("f"), "{\"a\": 1")).unwrap().unwrap();
        assert_eq!((rest.bytes.as_ref(), rest.tool.unwrap().id), (b"\": 1".as_ref(), None));
        let mut comparison = Comparison::new(&shown);
        assert_eq!(comparison.check(call("two", Some("g"), "")), Err(Differs));
    }

    /// Verifies: ORCH-102
    #[test]
    fn answers_may_come_mixed_otherwise() {
        let second = |text: &str| Output { choice: 1, ..output(text) };
        let mut comparison = Comparison::new(&[output("a"), second("x"), output("b")]);
        assert_eq!(comparison.check(second("x")), Ok(None));
        assert_eq!(comparison.check(second("y")), Ok(Some(second("y"))));
        assert_eq!(comparison.check(output("ab")), Ok(None));
        assert!(comparison.is_done());
    }
}
