use std::sync::Arc;

use adapter_host::{AdapterError, EngineEvent, Finish, FinishReason, Output};
use bytes::Bytes;

use crate::{
    Kernels, Llama, RunSettings, SampleError, Sampler, Vocabulary,
    desk::{Desk, Job},
    llama::OutOfMemory,
    run_settings::ARITHMETIC,
};

/// Accepted ids that are fed at once after a restart.
const REPLAY_CHUNK_TOKENS: usize = 16;

/// A model and what generating with it needs to know.
pub(crate) struct Generator {
    pub(crate) model: Llama,
    pub(crate) vocabulary: Arc<dyn Vocabulary>,
    pub(crate) kernels: Kernels,
    pub(crate) threads: usize,
    pub(crate) prefill_chunk_tokens: usize,
}

/// Most events that [`Generator::run`] says for an attempt, its end included.
pub(crate) fn events_max(
    prompt_tokens: usize,
    accepted_tokens: usize,
    max_tokens: usize,
    prefill_chunk_tokens: usize,
) -> usize {
    let started_and_end = 2;
    let chunks = prompt_tokens.div_ceil(prefill_chunk_tokens)
        + accepted_tokens.div_ceil(REPLAY_CHUNK_TOKENS);
    started_and_end + chunks + max_tokens.saturating_sub(accepted_tokens)
}

impl Generator {
    /// Runs one attempt to its end.
    ///
    /// The prompt and the ids accepted by earlier attempts are read in chunks, the answer token by token;
    /// the logits after a token are the same bits either way.
    pub(crate) fn run(&mut self, job: &Job, desk: &Desk) -> Result<Finish, AdapterError> {
        let (prompt, accepted) = (&*job.prompt, &*job.attempt.accepted);
        let max_tokens = job.attempt.max_tokens as usize;
        let mut sampler = Sampler::new(job.attempt.sampling.clone(), prompt, accepted)
            .map_err(|_range| AdapterError::Refused { status: None, text: None })?;
        let settings = serde_json::to_value(self.settings()).expect("settings are plain data");
        job.say(EngineEvent::Started { run_settings: settings });
        self.model.clear();

        let mut generated = accepted.len();
        if generated >= max_tokens {
            return Ok(finish(FinishReason::Length, prompt, generated));
        }
        let (mut done, total) = (0, count(prompt.len()));
        for chunk in prompt.chunks(self.prefill_chunk_tokens) {
            self.feed(chunk, job, desk)?;
            done += count(chunk.len());
            job.say(EngineEvent::PromptProgress { tokens_done: done, tokens_total: total });
        }
        let mut replayed = 0;
        for chunk in accepted.chunks(REPLAY_CHUNK_TOKENS) {
            self.feed(chunk, job, desk)?;
            replayed += count(chunk.len());
            job.say(EngineEvent::Replayed { tokens: replayed });
        }
        loop {
            let id = sampler.sample(self.model.logits()).map_err(bad_logits)?;
            if self.vocabulary.ends_generation(id) {
                return Ok(finish(FinishReason::Stop, prompt, generated));
            }
            sampler.accept(id);
            generated += 1;
            job.say(EngineEvent::Output(Output::text(
                Some(id),
                Some(1),
                Bytes::copy_from_slice(self.vocabulary.token_bytes(id)),
            )));
            if generated == max_tokens {
                return Ok(finish(FinishReason::Length, prompt, generated));
            }
            self.feed(&[id], job, desk)?;
        }
    }

    /// What is recorded with each attempt.
    fn settings(&self) -> RunSettings {
        RunSettings {
            arithmetic: ARITHMETIC.to_owned(),
            threads: self.threads,
            prefill_chunk_tokens: self.prefill_chunk_tokens,
            kernels: self.kernels.name().to_owned(),
        }
    }

    fn feed(&mut self, ids: &[u32], job: &Job, desk: &Desk) -> Result<(), AdapterError> {
        if desk.is_stopping() {
            return Err(AdapterError::Lost { reason: "the engine was stopped".to_owned() });
        }
        if job.is_unwanted() {
            return Err(AdapterError::Aborted);
        }
        self.model
            .feed(ids)
            .map_err(|error: OutOfMemory| AdapterError::Lost { reason: error.to_string() })
    }
}

fn finish(reason: FinishReason, prompt: &[u32], generated: usize) -> Finish {
    let (prompt_tokens, output_tokens) = (Some(count(prompt.len())), Some(count(generated)));
    Finish { reason, further: Vec::new(), prompt_tokens, output_tokens }
}

fn bad_logits(error: SampleError) -> AdapterError {
    AdapterError::Protocol { reason: error.to_string() }
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).expect("a context is counted in 32 bits")
}
