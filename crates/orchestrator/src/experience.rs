use std::sync::Arc;

use orchestrator_core::{Class, Experience, ModelId, ServiceSample, Waits};
use serde::{Deserialize, Serialize};

use crate::{JournalError, Record, shared::Shared};

/// Note: what was learned of service times and waits.
const NOTE_EXPERIENCE: &str = "experience";

/// Models that are remembered over a restart, those that were measured last.
const MODELS_MAX: usize = 64;

/// How long what was learned may be newer than what is kept of it, while tasks end.
const KEEP_EVERY_MS: u64 = 10_000;

/// What the journal has of it.
#[derive(Debug, Default)]
pub(crate) struct KeptExperience {
    lessons: u64,
    /// When it was written last, by the boot-time clock; `None` before this process did.
    at_ms: Option<u64>,
}

/// What is kept of a model; short names, as it is written again and again.
#[derive(Serialize, Deserialize)]
struct Model {
    model: String,
    /// Prompt tokens, prefill, answer tokens, decode.
    samples: Vec<[u64; 4]>,
    waits: Vec<Outcomes>,
}

#[derive(Serialize, Deserialize)]
struct Outcomes {
    batch: bool,
    depth: u32,
    /// Seven digits are more than they are worth.
    factors: Vec<f32>,
    tails: [f64; 2],
}

impl Shared {
    /// Lets the scheduler know what the last process learned.
    pub(crate) async fn recall_experience(&self) -> Result<(), JournalError> {
        let note = self.journal.note(NOTE_EXPERIENCE).await?;
        let kept: Vec<Model> = match note.as_deref().map(serde_json::from_str).transpose() {
            Ok(kept) => kept.unwrap_or_default(),
            Err(error) => {
                // Another version's, most likely. Estimates are worth no failed start.
                tracing::warn!(event = "experience_unreadable", %error, "estimates are learned anew");
                Vec::new()
            }
        };
        let kept: Vec<Experience> = kept.into_iter().map(Experience::from).collect();
        let mut scheduler = self.scheduler();
        scheduler.recall(&kept);
        self.kept_experience.lock().expect("no holder panics").lessons = scheduler.lessons();
        Ok(())
    }

    /// What was learned, where the journal does not have it and was not told for a while: it goes with a
    /// commit that is made anyway.
    pub(crate) fn experience_now_and_then(&self) -> Option<Record> {
        let now_ms = self.clock.boot_ms();
        {
            let kept = self.kept_experience.lock().expect("no holder panics");
            if kept.at_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < KEEP_EVERY_MS) {
                return None;
            }
        }
        self.experience_note()
    }

    /// What was learned, where the journal does not have it.
    pub(crate) fn experience_note(&self) -> Option<Record> {
        let (lessons, learned) = {
            let scheduler = self.scheduler();
            let lessons = scheduler.lessons();
            let mut kept = self.kept_experience.lock().expect("no holder panics");
            if kept.lessons == lessons {
                return None;
            }
            kept.lessons = lessons;
            kept.at_ms = Some(self.clock.boot_ms());
            (lessons, scheduler.experience())
        };
        let last = learned.len().saturating_sub(MODELS_MAX);
        let models: Vec<Model> = learned[last..].iter().map(Model::from).collect();
        tracing::debug!(event = "experience_kept", models = models.len(), lessons);
        let value = serde_json::to_string(&models).expect("lists of numbers are JSON");
        Some(Record::Note { name: NOTE_EXPERIENCE, value })
    }
}

impl From<&Experience> for Model {
    fn from(learned: &Experience) -> Self {
        let sample = |one: &ServiceSample| {
            [one.prompt_tokens, one.prefill_ms, one.answer_tokens, one.decode_ms]
        };
        Self {
            model: learned.model.0.to_string(),
            samples: learned.samples.iter().map(sample).collect(),
            waits: learned.waits.iter().map(Outcomes::from).collect(),
        }
    }
}

impl From<Model> for Experience {
    fn from(kept: Model) -> Self {
        let sample = |[prompt_tokens, prefill_ms, answer_tokens, decode_ms]: [u64; 4]| {
            ServiceSample { prompt_tokens, prefill_ms, answer_tokens, decode_ms }
        };
        Self {
            model: ModelId(Arc::from(kept.model)),
            samples: kept.samples.into_iter().map(sample).collect(),
            waits: kept.waits.into_iter().map(Waits::from).collect(),
        }
    }
}

impl From<&Waits> for Outcomes {
    #[expect(clippy::cast_possible_truncation, reason = "of a factor seven digits are kept")]
    fn from(waits: &Waits) -> Self {
        Self {
            batch: waits.class == Class::Batch,
            depth: waits.depth,
            factors: waits.factors.iter().map(|factor| *factor as f32).collect(),
            tails: waits.tails,
        }
    }
}

impl From<Outcomes> for Waits {
    fn from(kept: Outcomes) -> Self {
        Self {
            class: if kept.batch { Class::Batch } else { Class::Interactive },
            depth: kept.depth,
            factors: kept.factors.into_iter().map(f64::from).collect(),
            tails: kept.tails,
        }
    }
}
