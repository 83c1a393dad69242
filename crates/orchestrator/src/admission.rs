use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

use adapter_host::{Needs, OutputSupport, Sampling, SamplingSupport};
use api_types::{
    Determinism, InvalidField, OutputRequest, PlacementMode, PlacementRequest, PreparationView,
    Priority, ResponseFormat, SamplingRequest, TaskRequest, TaskState, ToolChoice, ToolMode,
    Workload,
};
use narration::{Fact, TraceContext, human};
use orchestrator_core::{
    Event, Forecast, Identity, ModelId, Offer, QueueLimit, TaskId, WhenFull, Work,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedMutexGuard, oneshot};
use uuid::Uuid;

use crate::{
    Binding, BindingKey, JournalError, Progress, Record, Refusal, Span, Stage, TaskRow, TaskSpec,
    ending::{DrawnUp, Ending},
    live_task::{LiveTask, class},
    model::{ModelFacts, ModelRefusal, PromptText},
    pool_table::{PoolFacts, PoolState, missing_feature},
    shared::{NoPlace, Reservation, Shared},
    span::Beginning,
    task_log::TaskLog,
    wants::LOCAL_NODE,
};

/// Largest seed, so that every JSON reader keeps it exact.
const SEED_MAX: u64 = (1 << 53) - 1;

/// Bytes of text that count as one token where nobody can count.
const BYTES_PER_TOKEN: u64 = 4;

/// A request that has its shape and wants to become a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    pub request: TaskRequest,
    /// Name of the client.
    pub identity: Arc<str>,
    pub correlation_id: String,
    /// The submission's own place in a trace, as W3C `traceparent`.
    pub traceparent: Option<String>,
    /// The place that it came from; `None` where the trace begins with it.
    pub parent_span: Option<u64>,
    /// Route template that scopes the idempotency key.
    pub route: &'static str,
    pub idempotency_key: Option<Arc<str>>,
    /// How long a task with `cancel_on_disconnect` waits for a subscriber; the orchestrator's own
    /// option where this is `None`.
    pub reattach_ms: Option<u64>,
}

/// A task was admitted, now or by an earlier request with the same idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The task as it stands.
    pub task: TaskRow,
    /// Whether an earlier request admitted it.
    pub is_replay: bool,
    pub queue_position: Option<u64>,
    /// When it should start and end, where that is known.
    pub forecast: Option<Forecast>,
    pub preparation: PreparationView,
}

/// Admissions under way, by idempotency key: duplicates wait for the first.
#[derive(Default)]
pub(crate) struct Admissions {
    in_flight: Mutex<HashMap<BindingKey, Arc<tokio::sync::Mutex<()>>>>,
}

/// The right to admit for a key. It stays with the admission even where its caller goes away, and passes
/// to the next duplicate when dropped.
struct Turn {
    shared: Arc<Shared>,
    key: BindingKey,
    gate: Option<OwnedMutexGuard<()>>,
}

impl Turn {
    async fn wait(shared: &Arc<Shared>, key: BindingKey) -> Self {
        let gate = {
            let mut in_flight = shared.admissions.in_flight.lock().expect("no holder panics");
            Arc::clone(in_flight.entry(key.clone()).or_default())
        };
        let mut turn = Self { shared: Arc::clone(shared), key, gate: None };
        turn.gate = Some(gate.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut in_flight = self.shared.admissions.in_flight.lock().expect("no holder panics");
        self.gate = None;
        // Nobody else waits for the key.
        if in_flight.get(&self.key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            in_flight.remove(&self.key);
        }
    }
}

/// Checks a submission in the order of ORCH-037, and admits it.
pub(crate) async fn submit(
    shared: &Arc<Shared>,
    submission: Submission,
) -> Result<Accepted, Refusal> {
    let beginning = Beginning::now(&*shared.clock);
    let trace = submission.traceparent.as_deref().and_then(TraceContext::parse);
    let parent_span = submission.parent_span;
    let model = submission.request.model_ref.clone();
    let outcome = judge(shared, submission).await;
    if let Some(place) = trace {
        let accepted = outcome.as_ref().ok().map(|accepted| &accepted.task);
        let refused = outcome.as_ref().err().map(|refusal| refusal.body("").code.name());
        shared.spans.ended(&Span {
            stage: Stage::Admission,
            place,
            parent_span,
            began: beginning.at(),
            took: beginning.elapsed(),
            task: accepted.map(|task| task.id),
            model: accepted.map(|task| task.spec.model_ref.as_str()).or(model.as_deref()),
            pool_id: None,
            attempt: None,
            tokens: None,
            failure: refused,
        });
    }
    match &outcome {
        Ok(accepted) if accepted.is_replay => {}
        Ok(accepted) => {
            shared.observer.admitted(accepted.task.spec.labels(), beginning.elapsed());
        }
        Err(refusal) => {
            let body = refusal.body("");
            shared.observer.rejected(body.code, body.policy_label.as_deref());
        }
    }
    outcome
}

async fn judge(shared: &Arc<Shared>, submission: Submission) -> Result<Accepted, Refusal> {
    submission.request.validate()?;
    let digest = request_digest(shared, &submission.request);
    let Some(key) = submission.idempotency_key.clone() else {
        return admit(shared, submission, digest, None).await;
    };
    let key =
        BindingKey { identity: Arc::clone(&submission.identity), route: submission.route, key };
    let turn = Turn::wait(shared, key.clone()).await;
    match shared.journal.binding(key).await? {
        Some(binding) if binding.request_digest == digest => match replay(shared, &binding).await {
            // Its time was over just now, and the key's with it.
            Err(Refusal::UnknownTask) => admit(shared, submission, digest, Some(turn)).await,
            accepted => accepted,
        },
        Some(_other_request) => Err(Refusal::IdempotencyMismatch),
        None => admit(shared, submission, digest, Some(turn)).await,
    }
}

async fn replay(shared: &Arc<Shared>, binding: &Binding) -> Result<Accepted, Refusal> {
    let live = shared.live(binding.task);
    let task = match &live {
        Some(live) => live.row(None),
        None => shared.journal.task(binding.task).await?.ok_or(Refusal::UnknownTask)?,
    };
    let place = live.and_then(|live| shared.queue_place(live.id));
    let queue_position = place.as_ref().map(|place| place.position);
    let forecast = place.and_then(|place| place.forecast);
    let preparation = shared
        .models
        .resolve(&task.spec.model_id)
        .map(|facts| facts.preparation)
        .unwrap_or_default();
    Ok(Accepted { task, is_replay: true, queue_position, forecast, preparation })
}

async fn admit(
    shared: &Arc<Shared>,
    submission: Submission,
    request_digest: String,
    turn: Option<Turn>,
) -> Result<Accepted, Refusal> {
    if shared.closing.is_cancelled() {
        return Err(Refusal::ShuttingDown);
    }
    let request = submission.request;
    check_pin(shared, &request.placement)?;
    let model_ref =
        request.model_ref.clone().or_else(|| shared.models.default_model()).ok_or_else(|| {
            InvalidField::new("model_ref", "required: no default model is configured")
        })?;
    let model = shared.models.resolve(&model_ref)?;
    let pools = pools_for(shared, &model_ref, &model)?;
    let pools = wished(pools, &request.placement)?;
    shared.note_model(&model);
    let needs = needs(&request);
    let pools = check_features(pools, &request, &needs)?;
    let prompt_ids = render(shared, &model, &request).await?;
    let ctx_max = context(&model, &pools);
    let prompt_tokens = prompt_ids.as_ref().map(|ids| ids.len() as u64);
    let max_tokens = match request.workload {
        Workload::Completion => {
            let image_tokens = pools.iter().map(|pool| pool.features.image_tokens).min();
            let images = u64::from(request.images()) * u64::from(image_tokens.unwrap_or(0));
            answer_limit(request.max_tokens, &model, prompt_tokens, images, ctx_max)?
        }
        Workload::Embedding | Workload::Rerank => 0,
    };
    if let Some(deadline_ms) = request.deadline_ms {
        let work = Work {
            prompt_tokens,
            expected_tokens: request.expected_tokens.map(u64::from),
            answer_tokens_max: Some(max_tokens.into()),
        };
        let offer = foreseen(shared, &model, &submission.identity, request.priority, work);
        let forecast = shared.scheduler().foresee(&offer, offer.waiting_since_ms);
        if let Some(forecast) = forecast.filter(|forecast| forecast.end_ms() > deadline_ms) {
            return Err(Refusal::DeadlineUnmet { deadline_ms, forecast });
        }
    }
    let counted = prompt_tokens.unwrap_or_else(|| tokens_about(&request));
    let taken = shared.rates.take(&submission.identity, counted);
    taken.map_err(|retry_after_ms| Refusal::RateLimited { retry_after_ms })?;

    let id = TaskId(Uuid::now_v7());
    let sequence = shared.next_sequence.fetch_add(1, Ordering::Relaxed);
    let reattach_ms = submission.reattach_ms.unwrap_or(shared.options().reattach_ms);
    let spec = TaskSpec {
        model_ref,
        model_id: model.id.to_string(),
        priority: request.priority,
        workload: request.workload,
        output: request.output(),
        needs,
        inputs: request.inputs,
        prompt: request.prompt,
        messages: request.messages,
        max_tokens,
        expected_tokens: request.expected_tokens,
        sampling: sampling(&request.sampling),
        stop: request.sampling.stop,
        determinism: request.determinism,
        failover: request.failover,
        placement: request.placement,
        cancel_when_alone_ms: request.cancel_on_disconnect.then_some(reattach_ms),
        client_ref: request.client_ref,
        metadata: request.metadata,
        output_mode: request.output_mode,
        sampler_profile_version: request.sampler_profile_version,
        correlation_id: submission.correlation_id,
        traceparent: submission.traceparent,
        request_digest,
        prompt_tokens: prompt_tokens.and_then(|tokens| u32::try_from(tokens).ok()),
        admitted_at_ms: shared.clock.wall_ms(),
        admitted_boot_ms: shared.clock.boot_ms(),
        boot_id: shared.clock.boot_id().to_owned(),
        deadline_ms: request.deadline_ms,
        queue_max_ms: shared.options().queue_max_ms,
        admitted_position: 0,
        predicted_start_ms: None,
    };
    let row = TaskRow {
        id,
        sequence,
        identity: submission.identity,
        state: TaskState::Queued,
        spec: Arc::new(spec),
        prompt_ids,
        progress: Progress::default(),
        end: None,
    };
    commit_admission(shared, row, turn, model.preparation).await
}

/// Reserves a place, makes the task durable, and queues it. What was begun is finished even if the
/// caller is gone.
async fn commit_admission(
    shared: &Arc<Shared>,
    mut row: TaskRow,
    turn: Option<Turn>,
    preparation: PreparationView,
) -> Result<Accepted, Refusal> {
    let log = TaskLog::new(row.id, Arc::clone(&shared.events), shared.options().ring_bytes);
    let log = Arc::new(log);
    let offer =
        LiveTask::new(row.clone(), Arc::clone(&log), 0).offer(&*shared.clock, &shared.options());
    let Reservation { position, forecast, victims } = match shared.step(Event::Offered(offer)) {
        Some(Ok(reservation)) => reservation,
        Some(Err(no_place)) => return Err(queue_full(shared, &no_place)),
        None => return Err(Refusal::ShuttingDown),
    };
    let spec = Arc::make_mut(&mut row.spec);
    spec.admitted_position = position;
    spec.predicted_start_ms = forecast.map(|forecast| forecast.start_ms);
    let (reply, answer) = oneshot::channel();
    let committer = Arc::clone(shared);
    shared.spawn(async move {
        let binding = turn.as_ref().map(|turn| Binding {
            key: turn.key.clone(),
            request_digest: row.spec.request_digest.clone(),
            task: row.id,
        });
        let mut records = vec![Record::Admitted { task: Box::new(row.clone()), binding }];
        let evicted = evictions(&committer, &victims);
        records.extend(evicted.iter().map(|(_, end)| end.record()));
        let result = match committer.commit(records).await {
            Ok(()) => {
                let task = row.id;
                committer.remember(Arc::new(LiveTask::new(row.clone(), log, 0)));
                tracing::info!(
                    event = "task_admitted",
                    task_id = %task,
                    correlation_id = row.spec.correlation_id,
                    trace_id = row.spec.trace_id(),
                    model = row.spec.model_ref,
                    queue_position = position,
                    predicted_start_ms = row.spec.predicted_start_ms,
                    human = human(&Fact::Admitted { model: &row.spec.model_ref, position }),
                );
                committer.step(Event::Committed { task });
                committer.tell_wait(task);
                for (victim, end) in evicted {
                    end.show(&committer, &victim);
                }
                Ok(row)
            }
            Err(error) => {
                match error {
                    JournalError::Full => committer.set_store_full(true),
                    // The gate lets one admission of a key through at a time.
                    JournalError::BindingTaken => {}
                    // Whether victims have ended is not known: nothing more may happen to them.
                    JournalError::AlreadyEnded { .. } | JournalError::Failed { .. } => {
                        committer.fail(&error).await;
                    }
                }
                committer.step(Event::Withdrawn { task: row.id });
                Err(Refusal::from(error))
            }
        };
        drop(turn);
        // The caller may be gone; the task stays.
        drop(reply.send(result));
    });
    let task = answer.await.map_err(|_gone| Refusal::ShuttingDown)??;
    let queue_position = Some(position);
    Ok(Accepted { task, is_replay: false, queue_position, forecast, preparation })
}

/// A task that asks for no place yet, to see when it would start and end.
fn foreseen(
    shared: &Shared,
    model: &ModelFacts,
    identity: &Arc<str>,
    priority: Priority,
    work: Work,
) -> Offer {
    Offer {
        task: TaskId(Uuid::nil()),
        model: ModelId(Arc::clone(&model.id)),
        // Nothing is placed for it: times are foreseen for the model as a whole.
        request: Arc::new(placement::Request::new(Arc::clone(&model.id))),
        class: class(priority),
        identity: Identity(Arc::clone(identity)),
        sequence: u64::MAX,
        prompt_bytes: 0,
        work,
        is_evictable: false,
        waiting_since_ms: shared.clock.boot_ms(),
        deadline_ms: None,
        queue_until_ms: u64::MAX,
    }
}

/// The ends of the tasks that make room for a newcomer.
fn evictions(shared: &Shared, victims: &[TaskId]) -> Vec<(Arc<LiveTask>, DrawnUp)> {
    let end = |victim: &TaskId| {
        let live = shared.live(*victim).expect("the scheduler knows only tasks that live here");
        let ending = Ending::evicted(&live, shared.options().reject_backoff_ms);
        let end = DrawnUp::new(shared, &live, ending);
        (live, end)
    };
    victims.iter().map(end).collect()
}

/// Why there is no place in the queue, and when there should be one.
fn queue_full(shared: &Shared, no_place: &NoPlace) -> Refusal {
    let policy_label = match (no_place.limit, shared.options().queue.when_full) {
        (QueueLimit::Objective, _) => "shed-low-priority",
        (_, WhenFull::Reject) => "reject",
        (_, WhenFull::DropLru) => "drop-lru",
    };
    tracing::debug!(event = "queue_full", limit = ?no_place.limit, policy_label);
    let retry_after_ms = no_place.retry_after_ms.unwrap_or(shared.options().reject_backoff_ms);
    Refusal::QueueFull { retry_after_ms, policy_label }
}

/// Checks what a task is pinned to (ORCH-120).
fn check_pin(shared: &Shared, asked: &PlacementRequest) -> Result<(), Refusal> {
    if asked.mode != PlacementMode::Pin {
        return Ok(());
    }
    if !shared.options().allow_pins {
        return Err(Refusal::PinsForbidden);
    }
    if asked.pin_node_id.as_deref().is_some_and(|node| node != LOCAL_NODE) {
        let message = format!("no such node; there is `{LOCAL_NODE}`");
        return Err(InvalidField::new("placement.pin_node_id", message).into());
    }
    let Some(pool) = asked.pin_pool_id.as_deref() else { return Ok(()) };
    let mut pools = shared.pools.all();
    pools.retain(|known| &*known.replica.pool_id == pool);
    if pools.is_empty() {
        let message = "no such pool; GET /v2/status lists them";
        return Err(InvalidField::new("placement.pin_pool_id", message).into());
    }
    if pools.iter().all(|pool| pool.state != PoolState::Ready) {
        return Err(Refusal::PinUnready { pool: pool.to_owned() });
    }
    Ok(())
}

/// The pools among `pools` that a task may go to by its own wish.
fn wished(
    mut pools: Vec<Arc<PoolFacts>>,
    asked: &PlacementRequest,
) -> Result<Vec<Arc<PoolFacts>>, Refusal> {
    let may_take = |pool: &PoolFacts| {
        let id = &*pool.replica.pool_id;
        let is_in = |names: &[String]| names.iter().any(|name| name == id);
        asked.pin_pool_id.as_deref().is_none_or(|pin| pin == id)
            && !is_in(&asked.avoid_pools)
            && (asked.allow_fallback
                || asked.mode != PlacementMode::Prefer
                || is_in(&asked.prefer_pools))
            // No pool of this build is bound to devices.
            && asked.require_device_mask.as_ref().is_none_or(Vec::is_empty)
    };
    pools.retain(|pool| may_take(pool));
    if pools.is_empty() {
        let message = "no configured pool of this model fits; ask for less";
        return Err(InvalidField::new("placement", message).into());
    }
    Ok(pools)
}

/// The pools that a task of the model may go to.
fn pools_for(
    shared: &Shared,
    model_ref: &str,
    model: &ModelFacts,
) -> Result<Vec<Arc<PoolFacts>>, Refusal> {
    let mut pools = shared.pools.serving(&model.id);
    // What an attached pool is able to do is known before it was ever reached.
    let is_unheard = |pool: &Arc<PoolFacts>| {
        !pool.in_process && pool.model(&model.id).is_none() && pool.may_serve(&model.id)
    };
    pools.extend(shared.pools.all().into_iter().filter(is_unheard));
    if pools.is_empty() && shared.pools.all().iter().any(|pool| pool.may_serve(&model.id)) {
        return Err(Refusal::PoolUnheard { model: model_ref.to_owned() });
    }
    if pools.is_empty() {
        return Err(Refusal::NoPool { model: model_ref.to_owned() });
    }
    if pools.iter().all(|pool| pool.shortage.is_some()) {
        let largest = pools.iter().filter_map(|pool| pool.shortage);
        let shortage = largest.max_by_key(|shortage| shortage.available_bytes);
        let shortage = shortage.expect("there is a pool, and each has one");
        return Err(Refusal::TooLarge { model: model_ref.to_owned(), shortage });
    }
    if pools.iter().all(|pool| pool.state == PoolState::Failed) {
        return Err(Refusal::PoolsFailed { model: model_ref.to_owned() });
    }
    Ok(pools)
}

/// The pools among `pools` that have what the request needs.
fn check_features(
    mut pools: Vec<Arc<PoolFacts>>,
    request: &TaskRequest,
    needs: &Needs,
) -> Result<Vec<Arc<PoolFacts>>, Refusal> {
    pools.retain(|pool| pool.does(request.workload));
    if pools.is_empty() {
        let message = "no configured pool of this model supports this workload";
        return Err(InvalidField::new("workload", message).into());
    }
    let profile = request.sampler_profile_version.as_deref();
    if !pools.iter().any(|pool| pool.draws_by(profile)) {
        return Err(no_such_profile(&pools).into());
    }
    pools.retain(|pool| pool.draws_by(profile));
    if let Some(field) = missing_feature(&pools, needs) {
        let message = "no pool of this model has this feature; leave it out";
        return Err(InvalidField::new(field, message).into());
    }
    pools.retain(|pool| pool.features.missing(needs).is_none());
    if request.determinism == Determinism::Strict {
        pools.retain(|pool| pool.features.strict);
    }
    if pools.is_empty() {
        let message = "no pool of this model is strict; use `best_effort`";
        return Err(InvalidField::new("determinism", message).into());
    }
    if request.messages.is_some() {
        pools.retain(|pool| pool.features.chat || pool.features.token_ids);
    }
    if pools.is_empty() {
        return Err(ModelRefusal::NotAvailable {
            model: request.model_ref.clone().unwrap_or_default(),
            missing: "a pool that takes conversations".to_owned(),
            retriable: false,
        }
        .into());
    }
    Ok(pools)
}

fn no_such_profile(pools: &[Arc<PoolFacts>]) -> InvalidField {
    let mut names: Vec<&str> = pools.iter().map(|pool| &*pool.sampler_profile).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    let message = match names.as_slice() {
        [] => "no pool of this model has a sampler profile; leave it out".to_owned(),
        names => format!("no pool of this model has it; there are: {}", names.join(", ")),
    };
    InvalidField::new("sampler_profile_version", message)
}

/// The prompt's ids, where the model's tokenizer is at hand.
async fn render(
    shared: &Shared,
    model: &ModelFacts,
    request: &TaskRequest,
) -> Result<Option<Arc<[u32]>>, Refusal> {
    let (prompt, field) = match (&request.prompt, &request.messages) {
        (Some(text), _) => (PromptText::Text(text), "prompt"),
        (None, Some(messages)) => (PromptText::Messages(messages), "messages"),
        // Texts to embed are counted by the engine.
        (None, None) => return Ok(None),
    };
    let prompt_ids = shared.meter.render(&model.id, prompt).await?;
    if prompt_ids.as_ref().is_some_and(|ids| ids.is_empty()) {
        return Err(InvalidField::new(field, "allowed: text that gives at least one token").into());
    }
    Ok(prompt_ids)
}

/// What a request really asks of an engine.
fn needs(request: &TaskRequest) -> Needs {
    let output = request.output();
    Needs {
        sampling: needed_sampling(&request.sampling),
        output: OutputSupport {
            json_object: matches!(output.response_format, Some(ResponseFormat::JsonObject)),
            json_schema: matches!(output.response_format, Some(ResponseFormat::JsonSchema { .. })),
            logprobs: output.logprobs.is_some(),
            tools: uses_tools(&output) || request.has_tool_messages(),
            choices: output.choices() > 1,
            images: request.images() > 0,
        },
    }
}

/// Whether the engine has to know of tools: their descriptions are part of the prompt even where none may
/// be called.
fn uses_tools(output: &OutputRequest) -> bool {
    !output.tools.is_empty()
        || output
            .tool_choice
            .as_ref()
            .is_some_and(|choice| *choice != ToolChoice::Mode(ToolMode::None))
}

/// Which parameters a request really asks for.
fn needed_sampling(request: &SamplingRequest) -> SamplingSupport {
    SamplingSupport {
        temperature: request.temperature.is_some(),
        top_p: request.top_p.is_some(),
        top_k: request.top_k.is_some_and(|k| k > 0),
        min_p: request.min_p.is_some_and(|p| p > 0.0),
        repeat_penalty: request.repeat_penalty.is_some_and(|penalty| penalty != 1.0),
        presence_penalty: request.presence_penalty.is_some_and(|penalty| penalty != 0.0),
        frequency_penalty: request.frequency_penalty.is_some_and(|penalty| penalty != 0.0),
        seed: request.seed.is_some(),
    }
}

fn sampling(request: &SamplingRequest) -> Sampling {
    let neutral = Sampling::default();
    Sampling {
        temperature: request.temperature.unwrap_or(neutral.temperature),
        top_p: request.top_p.unwrap_or(neutral.top_p),
        top_k: request.top_k.unwrap_or(neutral.top_k),
        min_p: request.min_p.unwrap_or(neutral.min_p),
        repeat_penalty: request.repeat_penalty.unwrap_or(neutral.repeat_penalty),
        presence_penalty: request.presence_penalty.unwrap_or(neutral.presence_penalty),
        frequency_penalty: request.frequency_penalty.unwrap_or(neutral.frequency_penalty),
        seed: request.seed.unwrap_or_else(fresh_seed),
    }
}

/// A seed for a task that names none: 53 random bits.
fn fresh_seed() -> u64 {
    // The low 62 bits of a UUIDv7 are random.
    Uuid::now_v7().as_u64_pair().1 & SEED_MAX
}

/// The context that a task may fill: the model's own, capped by the largest pool that may serve it.
fn context(model: &ModelFacts, pools: &[Arc<PoolFacts>]) -> Option<u64> {
    let of_pool = |pool: &Arc<PoolFacts>| pool.model(&model.id).and_then(|model| model.ctx_max);
    // A pool that does not tell may have room for everything the model takes.
    let largest = pools.iter().map(of_pool).collect::<Option<Vec<u32>>>();
    let largest = largest.and_then(|contexts| contexts.into_iter().max());
    match (model.ctx_max, largest) {
        (Some(model), Some(pool)) => Some(u64::from(model.min(pool))),
        (one, other) => one.or(other).map(u64::from),
    }
}

/// Tokens that the answer may have. Of a prompt that cannot be counted here only its images are known:
/// what does not fit even so is refused (ORCH-027).
fn answer_limit(
    asked: Option<u32>,
    model: &ModelFacts,
    prompt_tokens: Option<u64>,
    image_tokens: u64,
    ctx_max: Option<u64>,
) -> Result<u32, Refusal> {
    let wanted = u64::from(asked.unwrap_or(model.max_tokens_default));
    let Some(ctx_max) = ctx_max else {
        return Ok(u32::try_from(wanted).unwrap_or(u32::MAX));
    };
    let counted = prompt_tokens.unwrap_or(0).saturating_add(image_tokens);
    let left = ctx_max.saturating_sub(counted);
    let max_tokens = if asked.is_some() { wanted } else { wanted.min(left) };
    if max_tokens == 0 || max_tokens > left {
        let prompt_tokens = counted;
        return Err(Refusal::ContextExceeded { prompt_tokens, max_tokens: wanted, ctx_max });
    }
    Ok(u32::try_from(max_tokens).unwrap_or(u32::MAX))
}

/// About how many tokens a prompt has whose model's tokenizer is not at hand.
fn tokens_about(request: &TaskRequest) -> u64 {
    let messages = request.messages.iter().flatten().map(|message| message.content.text_bytes());
    let inputs = request.inputs.iter().flatten().map(String::len);
    let bytes =
        request.prompt.as_ref().map_or(0, String::len) + messages.chain(inputs).sum::<usize>();
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// Digest of a request with its defaults filled in; equal requests have equal ones.
fn request_digest(shared: &Shared, request: &TaskRequest) -> String {
    let mut request = request.clone();
    request.model_ref = request.model_ref.or_else(|| shared.models.default_model());
    let canonical = serde_json::to_vec(&request).expect("wire types are JSON");
    let digest = Sha256::digest(&canonical);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
