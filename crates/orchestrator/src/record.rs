use std::{collections::BTreeMap, sync::Arc};

use adapter_host::{AttemptId, Needs, ReplicaKey, Sampling};
use api_types::{
    DecisionView, Determinism, ErrorBody, Failover, MessageRequest, OutputRequest,
    PlacementRequest, Priority, TaskState, Workload,
};
use narration::TraceContext;
use orchestrator_core::TaskId;
use serde::{Deserialize, Serialize};

use crate::{PoolFacts, Region, TaskLabels, pool_table::replica_id};

/// One change of the journal. A commit holds one or more of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A task was admitted.
    Admitted {
        task: Box<TaskRow>,
        /// The idempotency key that now stands for it.
        binding: Option<Binding>,
    },
    /// A live task moved on. Refused by the store for a task that has ended.
    Moved { task: TaskId, state: TaskState, progress: Box<Progress> },
    /// The task's prompt was rendered; never changed afterwards.
    Rendered { task: TaskId, prompt_ids: Arc<[u32]> },
    /// A live task ended. `progress` as it stands at the end.
    Ended {
        task: TaskId,
        state: TaskState,
        progress: Box<Progress>,
        end: Box<EndRow>,
        /// Whether the idempotency key admits a new task from now on.
        frees_binding: bool,
    },
    /// The events of an ended task are no longer to be had. Where they lie stays known.
    EventsGone { task: TaskId, at_ms: u64 },
    /// All text of an ended task goes: prompt, stop strings, names and labels of the client's own, and what
    /// the terminal event said. Its events are no longer to be had; where they lie stays known until they
    /// are overwritten.
    Erased { task: TaskId, at_ms: u64 },
    /// Events that are no longer to be had are overwritten, or went with their segments: where they lay is
    /// forgotten.
    EventsFreed { task: TaskId },
    /// An ended task is forgotten, its idempotency key with it.
    Removed { task: TaskId },
    /// A value kept beside the tasks.
    Note { name: &'static str, value: String },
}

/// A task as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    pub id: TaskId,
    /// Order of admission, growing over the store's life.
    pub sequence: u64,
    /// Name of the client that sent it.
    pub identity: Arc<str>,
    pub state: TaskState,
    /// Frozen at admission.
    pub spec: Arc<TaskSpec>,
    /// The rendered prompt; `None` until there is a tokenizer for the model, or for ever where a remote
    /// engine renders.
    pub prompt_ids: Option<Arc<[u32]>>,
    /// What changes while the task lives.
    pub progress: Progress,
    /// How it ended; `None` while it lives.
    pub end: Option<EndRow>,
}

/// What admission froze.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// As given in the request, or the default model's name.
    pub model_ref: String,
    /// The catalog id it stood for at admission.
    pub model_id: String,
    pub priority: Priority,
    #[serde(default)]
    pub workload: Workload,
    /// Text to complete; exactly one of this, `messages` and `inputs` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<MessageRequest>>,
    /// Texts to embed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// Of each answer.
    pub max_tokens: u32,
    /// Tokens that the client expects of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_tokens: Option<u32>,
    pub sampling: Sampling,
    /// What the answer is to be beyond one plain text.
    #[serde(default)]
    pub output: OutputRequest,
    /// What of all this was asked for and an engine has to honour.
    #[serde(default)]
    pub needs: Needs,
    pub stop: Vec<String>,
    pub determinism: Determinism,
    pub failover: Failover,
    #[serde(default, skip_serializing_if = "PlacementRequest::is_default")]
    pub placement: PlacementRequest,
    /// Whether a lost last subscriber cancels the task, and how long one may be away.
    pub cancel_when_alone_ms: Option<u64>,
    pub client_ref: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// A label for whoever packages the answer, as it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_mode: Option<String>,
    /// The only sampler profile to draw tokens by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler_profile_version: Option<String>,
    pub correlation_id: String,
    pub traceparent: Option<String>,
    /// Digest of the request with defaults filled in, as idempotency compares it.
    pub request_digest: String,
    /// Prompt tokens, where they could be counted at admission.
    pub prompt_tokens: Option<u32>,
    /// Wall clock at admission, in milliseconds since 1970.
    pub admitted_at_ms: u64,
    /// Boot-time clock at admission, for instants of the same boot.
    pub admitted_boot_ms: u64,
    /// Which boot that clock belongs to.
    pub boot_id: String,
    pub deadline_ms: Option<u64>,
    pub queue_max_ms: u64,
    /// Position in the queue given in the 202.
    pub admitted_position: u64,
    /// When it was to start, from its admission on, as far as that was known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_start_ms: Option<u64>,
}

impl TaskSpec {
    /// The place of the task's admission in its trace.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        TraceContext::parse(self.traceparent.as_deref()?)
    }

    /// What ties the task to the rest of its trace in log lines: 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        let traceparent = self.traceparent.as_deref()?;
        TraceContext::parse(traceparent)?;
        traceparent.split('-').nth(1)
    }

    /// What the task is counted under.
    pub(crate) fn labels(&self) -> TaskLabels<'_> {
        TaskLabels { model: &self.model_ref, priority: self.priority }
    }

    /// What is left of an erased task's request: what was chosen, without any text of the client's own.
    #[must_use]
    pub fn without_text(self) -> Self {
        Self {
            prompt: None,
            messages: None,
            inputs: None,
            output: OutputRequest {
                n: self.output.n,
                logprobs: self.output.logprobs,
                ..OutputRequest::default()
            },
            stop: Vec::new(),
            client_ref: None,
            metadata: BTreeMap::new(),
            output_mode: None,
            ..self
        }
    }

    /// The text that waits with the task, in bytes.
    #[must_use]
    pub fn prompt_bytes(&self) -> u64 {
        let messages = self.messages.iter().flatten().map(MessageRequest::bytes);
        let inputs = self.inputs.iter().flatten().map(String::len);
        (self.prompt.as_ref().map_or(0, String::len) + messages.chain(inputs).sum::<usize>()) as u64
    }
}

/// What changes while a task lives.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    pub attempts: Vec<AttemptRow>,
    /// Event ids up to this one may have been shown to clients; fsynced before they are.
    pub ids_reserved: u64,
    /// Segment of the event log where the task's first frame may stand.
    pub first_segment: Option<u64>,
    /// Wall clock at the first attempt.
    pub started_at_ms: Option<u64>,
    /// Waited in the queue before the first attempt.
    pub queue_time_ms: Option<u64>,
    /// Times that workers or the daemon died under it without progress.
    pub poison: Poison,
}

impl Progress {
    /// Replicas that failed the task, each once.
    pub(crate) fn failed_replicas(&self) -> Vec<placement::ReplicaKey> {
        let failed = self.attempts.iter().filter(|one| one.outcome == Some(Outcome::Lost));
        let mut replicas: Vec<_> = failed.map(|one| replica_id(&one.replica())).collect();
        replicas.sort();
        replicas.dedup();
        replicas
    }

    /// How long the closed attempts ran, in milliseconds of the wall clock; when an interrupted one
    /// ended is not known.
    pub(crate) fn ran_ms(&self) -> u64 {
        let known = self.attempts.iter().filter(|one| one.outcome != Some(Outcome::Interrupted));
        let ran = |one: &AttemptRow| Some(one.ended_at_ms?.saturating_sub(one.started_at_ms));
        known.filter_map(ran).sum()
    }
}

impl Poison {
    /// Whether the task is tried alone.
    pub(crate) fn is_suspect(&self) -> bool {
        self.daemon_ends >= 2
    }
}

/// Count of deaths under a task (ORCH-106).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Poison {
    /// Unclean ends of the daemon without a token in between.
    pub daemon_ends: u32,
    /// Worker processes that died under it.
    pub worker_deaths: u32,
    /// Other failures of attempts.
    pub failures: u32,
}

/// One dispatch of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    pub id: AttemptId,
    pub pool_id: String,
    pub replica_id: String,
    pub engine: String,
    pub engine_version: String,
    /// Empty where the pool had none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sampler_profile: String,
    pub model_digest: Option<String>,
    /// Whether the engine computes inside this process.
    pub in_process: bool,
    pub started_at_ms: u64,
    pub ended_at_ms: Option<u64>,
    pub outcome: Option<Outcome>,
    /// Tokens accepted from it.
    pub tokens: u64,
    /// What the engine needs again for equal arithmetic.
    pub run_settings: Option<serde_json::Value>,
    /// What placed it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Arc<DecisionView>>,
}

impl AttemptRow {
    pub(crate) fn replica(&self) -> ReplicaKey {
        ReplicaKey::new(&self.pool_id, &self.replica_id)
    }

    /// Whether it ran on the same engine, at the same version, as is in `pool`.
    pub(crate) fn had_engine_of(&self, pool: &PoolFacts) -> bool {
        self.engine == pool.engine && self.engine_version == pool.engine_version
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The engine finished, or the daemon had all it wanted.
    Completed,
    /// Somebody cancelled the task.
    Canceled,
    /// The task's time ran out.
    Expired,
    /// The engine refused the task.
    Refused,
    /// The worker or the way to it was lost.
    Lost,
    /// What the engine generated again differs from what was shown.
    Mismatch,
    /// The daemon ended in the middle of it.
    Interrupted,
}

impl Outcome {
    /// As the API shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Mismatch => "mismatch",
            Self::Interrupted => "interrupted",
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndRow {
    /// Wall clock.
    pub ended_at_ms: u64,
    /// Id of the terminal event.
    pub event_id: u64,
    /// `end` or `error`.
    pub event: String,
    /// The terminal event's data, the same bytes for ever.
    pub data: String,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    /// The error of a task that did not succeed.
    pub error: Option<ErrorBody>,
    /// Where the events before the terminal one are.
    pub regions: Vec<Region>,
    /// Wall clock since when the events are no longer to be had. Not part of the JSON: kept apart, as
    /// [`Record::EventsGone`] changes nothing else.
    #[serde(skip)]
    pub events_gone_at_ms: Option<u64>,
    /// Wall clock when the task was erased, likewise.
    #[serde(skip)]
    pub erased_at_ms: Option<u64>,
}

impl EndRow {
    /// What is left of the end of an erased task: state and counters.
    #[must_use]
    pub fn without_text(self) -> Self {
        let error = self.error.map(|error| ErrorBody {
            message: "the task was erased".to_owned(),
            field: None,
            details: None,
            ..error
        });
        Self { data: String::new(), error, ..self }
    }
}

/// An idempotency key and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub key: BindingKey,
    /// Digest of the request with defaults filled in.
    pub request_digest: String,
    pub task: TaskId,
}

/// Scope of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingKey {
    pub identity: Arc<str>,
    /// Route template, such as `/v2/tasks`.
    pub route: &'static str,
    pub key: Arc<str>,
}
