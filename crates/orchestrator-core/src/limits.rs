use std::{collections::BTreeMap, num::NonZeroU32};

use crate::{Class, ModelId, QueueLimit};

/// Bounds of the queues, and the shares of the classes. Running tasks count towards none of the bounds;
/// restored and re-queued ones count but are never refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Queued and reserved tasks of one model.
    pub model_capacity: u64,
    /// Of a model's capacity, what batch may hold, in per cent, rounded down.
    pub batch_share_percent: u8,
    /// Queued and reserved tasks of all models.
    pub total_capacity: u64,
    /// Bytes of prompts of queued and reserved tasks.
    pub bytes_max: u64,
    /// Of `interactive_weight + 1` dispatches that both classes wait for, one goes to batch.
    pub interactive_weight: NonZeroU32,
    /// Once a model's oldest task of batch has waited this long, every second of them goes to batch.
    pub batch_max_wait_ms: u64,
    /// What happens to an offer that would break a bound.
    pub when_full: WhenFull,
    /// How long interactive tasks may wait, where batch makes way so that they do not wait longer.
    pub objective: Option<WaitObjective>,
    /// Models with a capacity of their own.
    pub models: BTreeMap<ModelId, ModelLimits>,
}

/// What happens to an offer that would break a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It is refused.
    #[default]
    Reject,
    /// It takes the place of the oldest queued task of batch; of the oldest interactive one where there is
    /// none of batch and the offer is interactive. Where nothing may go, it is refused.
    DropLru,
}

/// What is wanted of the waits of a model's interactive tasks: of those that start within a window, 95 of 100
/// waited no longer. While that is not so, no batch task of the model is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitObjective {
    pub wait_p95_ms: u64,
    /// How far back it looks, and how long a breach lasts at least.
    pub window_ms: u64,
}

/// Bounds of one model's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelLimits {
    /// In place of [`Limits::model_capacity`].
    pub capacity: u64,
    /// In place of [`Limits::batch_share_percent`].
    pub batch_share_percent: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            model_capacity: 256,
            batch_share_percent: 75,
            total_capacity: 4096,
            bytes_max: 512 * 1024 * 1024,
            interactive_weight: const { NonZeroU32::new(8).expect("eight is not zero") },
            batch_max_wait_ms: 60_000,
            when_full: WhenFull::Reject,
            objective: None,
            models: BTreeMap::new(),
        }
    }
}

impl Limits {
    /// The bounds of `model`'s queue.
    #[must_use]
    pub fn of(&self, model: &ModelId) -> ModelLimits {
        self.models.get(model).copied().unwrap_or(ModelLimits {
            capacity: self.model_capacity,
            batch_share_percent: self.batch_share_percent,
        })
    }
}

impl ModelLimits {
    /// Most tasks of batch.
    #[must_use]
    pub fn batch_capacity(self) -> u64 {
        let share = u128::from(self.capacity) * u128::from(self.batch_share_percent.min(100)) / 100;
        u64::try_from(share).expect("a share is at most the whole")
    }

    /// The bound that one more task of `class` would break, given what the model's queue holds.
    pub(crate) fn broken_by(self, class: Class, held: u64, held_batch: u64) -> Option<QueueLimit> {
        if held >= self.capacity {
            Some(QueueLimit::Model)
        } else if class == Class::Batch && held_batch >= self.batch_capacity() {
            Some(QueueLimit::BatchShare)
        } else {
            None
        }
    }
}
