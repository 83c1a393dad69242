use adapter_host::{Finish, Output};
use bytes::Bytes;

use crate::{
    Region, TaskSpec,
    answers::Answers,
    assembler::Piece,
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
    /// What the work gave where that is no text.
    pub(crate) result: Option<Bytes>,
    /// How the engine ended, where it had ended already.
    pub(crate) finish: Option<Finish>,
    /// The answers as they stood.
    pub(crate) answers: Answers,
    /// Events that were made of the outputs.
    pub(crate) events: u64,
}

impl Replay {
    /// Reads a task's generation log back; empty for a task without one.
    pub(crate) async fn read(
        shared: &Shared,
        log: &TaskLog,
        spec: &TaskSpec,
    ) -> Result<Self, Unreadable> {
        let mut entries = Vec::new();
        for region in log.regions() {
            let generation = read_region(shared, log, region).await;
            read_entries(generation, &mut entries)?;
        }
        let mut replay = Self {
            outputs: Vec::new(),
            settings: None,
            result: None,
            finish: None,
            answers: Answers::new(spec),
            events: 0,
        };
        let mut pieces: Vec<Piece> = Vec::new();
        for entry in entries {
            match entry {
                Entry::Output(output) => {
                    replay.answers.push(&output, &mut pieces);
                    replay.outputs.push(output);
                }
                Entry::Settings(json) => {
                    replay.settings =
                        Some(serde_json::from_slice(&json).map_err(|_bad| Unreadable)?);
                }
                Entry::Result(json) => replay.result = Some(json),
                Entry::Finished(finish) => {
                    replay.answers.finish(&mut pieces);
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
