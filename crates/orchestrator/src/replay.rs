use adapter_host::{Channel, Finish, Output};
use bytes::Bytes;

use crate::{
    Region,
    assembler::{Assembler, Piece},
    generation::{Entry, Unreadable, read_entries},
    shared::Shared,
    task_log::TaskLog,
};

/// What earlier attempts of a task accepted, read from its generation log.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) outputs: Vec<Output>,
    /// What the engine recorded for equal arithmetic.
    pub(crate) settings: Option<serde_json::Value>,
    /// How the engine ended, where it had ended already.
    pub(crate) finish: Option<Finish>,
    /// The assembler as it stood.
    pub(crate) assembler: Assembler,
    /// Events that the assembler made of the outputs.
    pub(crate) events: u64,
}

impl Replay {
    /// Reads a task's generation log back; empty for a task without one.
    pub(crate) async fn read(
        shared: &Shared,
        log: &TaskLog,
        stops: &[String],
    ) -> Result<Self, Unreadable> {
        let mut entries = Vec::new();
        for region in log.regions() {
            let generation = read_region(shared, log, region).await;
            read_entries(generation, &mut entries)?;
        }
        let mut replay = Self {
            outputs: Vec::new(),
            settings: None,
            finish: None,
            assembler: Assembler::new(stops),
            events: 0,
        };
        let mut pieces: Vec<Piece> = Vec::new();
        for entry in entries {
            match entry {
                Entry::Output(output) => {
                    replay.assembler.push(&output, &mut pieces);
                    replay.outputs.push(output);
                }
                Entry::Settings(json) => {
                    replay.settings =
                        Some(serde_json::from_slice(&json).map_err(|_bad| Unreadable)?);
                }
                Entry::Finished(finish) => {
                    replay.assembler.finish(&mut pieces);
                    replay.finish = Some(finish);
                }
            }
        }
        replay.events = pieces.len() as u64;
        Ok(replay)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// The id of every accepted token; `None` where the engine did not tell one.
    pub(crate) fn ids(&self) -> Option<Vec<u32>> {
        self.outputs.iter().map(|output| output.id).collect()
    }

    /// Tokens accepted; `None` where they could not be counted.
    pub(crate) fn tokens(&self) -> Option<u64> {
        self.outputs.iter().map(|output| output.tokens.map(u64::from)).sum()
    }
}

async fn read_region(shared: &Shared, log: &TaskLog, region: Region) -> Bytes {
    match log.read(&region) {
        Ok(frame) => frame.generation,
        Err(error) => {
            shared.fail(&error).await;
            Bytes::new()
        }
    }
}

/// Holds what an engine generates again against what was accepted before, and lets only the rest pass.
#[derive(Debug)]
pub(crate) struct Comparison {
    expected: std::collections::VecDeque<(Channel, Bytes)>,
}

/// What is generated now is not what was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Differs;

impl Comparison {
    /// Expects `outputs` again, however they are cut.
    pub(crate) fn new(outputs: &[Output]) -> Self {
        let with_bytes = outputs.iter().filter(|output| !output.bytes.is_empty());
        Self { expected: with_bytes.map(|output| (output.channel, output.bytes.clone())).collect() }
    }

    /// Whether all that was accepted has come again.
    pub(crate) fn is_done(&self) -> bool {
        self.expected.is_empty()
    }

    /// What of an output is new.
    pub(crate) fn check(&mut self, output: Output) -> Result<Option<Output>, Differs> {
        if self.is_done() {
            return Ok(Some(output));
        }
        let mut bytes = output.bytes.clone();
        while !bytes.is_empty() {
            let Some((channel, expected)) = self.expected.front_mut() else {
                // The engine cuts its chunks otherwise this time: how many tokens of this one are new is
                // not known.
                return Ok(Some(Output { id: None, tokens: None, bytes, ..output }));
            };
            let len = expected.len().min(bytes.len());
            if *channel != output.channel || expected[..len] != bytes[..len] {
                return Err(Differs);
            }
            bytes::Buf::advance(expected, len);
            bytes::Buf::advance(&mut bytes, len);
            if expected.is_empty() {
                self.expected.pop_front();
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Output {
        Output {
            choice: 0,
            channel: Channel::Content,
            id: None,
            tokens: Some(1),
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
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
}
