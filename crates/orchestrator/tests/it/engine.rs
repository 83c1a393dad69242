use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use adapter_host::{
    AdapterError, Attempt, AttemptId, EngineAdapter, EngineEvent, EngineModel, EngineStream,
    Features, Finish, FinishReason, Input, Output, Props, ReplicaKey, SamplingSupport,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use orchestrator::{PoolFacts, PoolModel, PoolState};
use tokio::sync::{Semaphore, watch};

use crate::model::{CONTEXT, REMOTE, TINY};

/// Id of the first token that an engine generates; those that follow count up.
const FIRST_ID: u32 = 1000;

/// Bytes of a token: shorter than most characters that the tests use.
const TOKEN_BYTES: usize = 2;

/// What an engine does with one attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// Says the prompt back, two bytes a token.
    Echo,
    /// As `Echo`, and is lost behind the given token of the answer.
    DieAt(usize),
    /// As `Echo`, and ends its stream without a word behind the given token.
    CloseAt(usize),
    /// As `Echo`, and panics behind the given token.
    PanicAt(usize),
    /// As `Echo`, and is silent behind the given token.
    HangAt(usize),
    /// Says something else.
    Lie,
    Refuse,
    TooLong,
    Overloaded,
    Unreachable,
    PanicInSubmit,
}

/// An engine that answers as told, in this process or not.
pub(crate) struct Engine {
    pub(crate) key: ReplicaKey,
    pub(crate) features: Features,
    pub(crate) in_process: bool,
    pub(crate) slots: u32,
    pub(crate) version: String,
    /// Sampler profile.
    pub(crate) profile: String,
    /// Whether output carries token ids.
    pub(crate) tells_ids: bool,
    /// Whether output carries token counts.
    pub(crate) counts: bool,
    /// Whether `props` answers.
    pub(crate) is_up: AtomicBool,
    pub(crate) abort_panics: AtomicBool,
    pub(crate) abort_hangs: AtomicBool,
    acts: Mutex<VecDeque<Act>>,
    /// One permit a token; open engines have plenty.
    gate: Semaphore,
    seen: Mutex<Vec<Attempt>>,
    aborted: Mutex<Vec<AttemptId>>,
    active: Mutex<HashMap<AttemptId, usize>>,
    active_max: AtomicUsize,
    /// Counts deaths of the worker process: every stream of an older one is lost.
    deaths: watch::Sender<u64>,
}

impl Engine {
    /// An engine outside of this process that can continue nothing.
    pub(crate) fn new(pool: &str) -> Self {
        Self {
            key: ReplicaKey::new(pool, "0"),
            features: Features {
                token_ids: true,
                chat: true,
                sampling: SamplingSupport::ALL,
                ..Features::default()
            },
            in_process: false,
            slots: 2,
            version: "1".to_owned(),
            profile: String::new(),
            tells_ids: true,
            counts: true,
            is_up: AtomicBool::new(true),
            abort_panics: AtomicBool::new(false),
            abort_hangs: AtomicBool::new(false),
            acts: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            seen: Mutex::default(),
            aborted: Mutex::default(),
            active: Mutex::default(),
            active_max: AtomicUsize::new(0),
            deaths: watch::Sender::new(0),
        }
    }

    /// Feeds accepted ids through decode again.
    pub(crate) fn replays(mut self) -> Self {
        self.features.replay = true;
        self
    }

    /// Gives equal bytes for equal attempts.
    pub(crate) fn strict(mut self) -> Self {
        self.features.strict = true;
        self
    }

    pub(crate) fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    pub(crate) fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    pub(crate) fn profile(mut self, profile: &str) -> Self {
        profile.clone_into(&mut self.profile);
        self
    }

    pub(crate) fn in_process(mut self) -> Self {
        self.in_process = true;
        self
    }

    /// Gives no token before [`Self::pass`].
    pub(crate) fn gated(mut self) -> Self {
        self.gate = Semaphore::new(0);
        self
    }

    /// Lets so many more tokens pass.
    pub(crate) fn pass(&self, tokens: usize) {
        self.gate.add_permits(tokens);
    }

    /// Lets all tokens pass that will ever come.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1 << 40);
    }

    /// Says what to do with the next attempts; `Echo` once they are done.
    pub(crate) fn next(&self, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().unwrap().extend(acts);
    }

    /// The worker process dies: whatever runs is lost.
    pub(crate) fn die(&self) {
        self.deaths.send_modify(|deaths| *deaths += 1);
    }

    pub(crate) fn seen(&self) -> Vec<Attempt> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn aborted(&self) -> Vec<AttemptId> {
        self.aborted.lock().unwrap().clone()
    }

    pub(crate) fn active(&self) -> usize {
        self.active.lock().unwrap().values().sum()
    }

    pub(crate) fn active_max(&self) -> usize {
        self.active_max.load(Ordering::SeqCst)
    }

    pub(crate) fn facts(&self, state: PoolState) -> PoolFacts {
        let model = |id: &str| PoolModel {
            id: id.into(),
            engine_name: id.into(),
            ctx_max: Some(CONTEXT / 2),
        };
        PoolFacts {
            replica: self.key.clone(),
            state,
            last_error: None,
            shortage: None,
            engine: "scripted".to_owned(),
            engine_version: self.version.clone(),
            sampler_profile: self.profile.clone(),
            in_process: self.in_process,
            is_verified: true,
            slots: self.slots,
            address: None,
            features: self.features,
            models_of: std::sync::Arc::clone(&self.key.pool_id),
            models: if self.features.token_ids { vec![model(TINY)] } else { vec![model(REMOTE)] },
        }
    }

    fn begin(self: &Arc<Self>, id: AttemptId) -> Working {
        let mut active = self.active.lock().unwrap();
        *active.entry(id).or_default() += 1;
        self.active_max.fetch_max(active.values().sum(), Ordering::SeqCst);
        Working { engine: Arc::clone(self), id }
    }
}

/// An attempt at work in an engine.
struct Working {
    engine: Arc<Engine>,
    id: AttemptId,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.engine.active.lock().unwrap().remove(&self.id);
    }
}

/// How an engine is bound: the trait needs an `Arc` of it.
pub(crate) struct Bound(pub(crate) Arc<Engine>);

#[async_trait]
impl EngineAdapter for Bound {
    async fn health(&self) -> Result<(), AdapterError> {
        self.props().await.map(drop)
    }

    async fn props(&self) -> Result<Props, AdapterError> {
        if !self.0.is_up.load(Ordering::SeqCst) {
            return Err(unreachable_engine());
        }
        let facts = self.0.facts(PoolState::Ready);
        let model =
            |model: &PoolModel| EngineModel { name: model.id.to_string(), ctx_max: model.ctx_max };
        Ok(Props {
            engine: facts.engine,
            engine_version: facts.engine_version,
            models: facts.models.iter().map(model).collect(),
            slots: facts.slots,
            features: facts.features,
        })
    }

    async fn submit(&self, attempt: Attempt) -> Result<EngineStream, AdapterError> {
        if !self.0.is_up.load(Ordering::SeqCst) {
            return Err(unreachable_engine());
        }
        let act = self.0.acts.lock().unwrap().pop_front().unwrap_or(Act::Echo);
        self.0.seen.lock().unwrap().push(attempt.clone());
        match act {
            Act::Refuse => return Err(AdapterError::Refused { status: Some(400), text: None }),
            Act::TooLong => return Err(AdapterError::ContextExceeded),
            Act::Overloaded => {
                return Err(AdapterError::Overloaded { retry_after_ms: Some(5) });
            }
            Act::Unreachable => return Err(unreachable_engine()),
            Act::PanicInSubmit => panic!("told to panic in submit"),
            _ => {}
        }
        Ok(Box::pin(stream::unfold(Some(Generation::new(&self.0, act, &attempt)), step)))
    }

    async fn abort(&self, attempt: AttemptId) -> Result<(), AdapterError> {
        self.0.aborted.lock().unwrap().push(attempt);
        assert!(!self.0.abort_panics.load(Ordering::SeqCst), "told to panic in abort");
        if self.0.abort_hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

fn unreachable_engine() -> AdapterError {
    let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
    AdapterError::Unreachable { url: "http://engine".to_owned(), source }
}

/// One answer under way.
struct Generation {
    engine: Arc<Engine>,
    act: Act,
    answer: Vec<u8>,
    /// Whether `max_tokens` cuts the answer.
    is_cut: bool,
    /// The next token.
    index: usize,
    replayed: Option<u32>,
    deaths: watch::Receiver<u64>,
    born_after: u64,
    _working: Working,
}

impl Generation {
    fn new(engine: &Arc<Engine>, act: Act, attempt: &Attempt) -> Self {
        let mut answer = match &attempt.input {
            Input::Tokens(ids) => ids.iter().map(|id| u8::try_from(*id).unwrap()).collect(),
            Input::Text(text) => text.as_bytes().to_vec(),
            Input::Texts(texts) => texts.concat().into_bytes(),
            Input::Messages(messages) => messages
                .iter()
                .flat_map(|message| message.content.text().into_bytes())
                .collect::<Vec<u8>>(),
        };
        if act == Act::Lie {
            answer = b"something else".to_vec();
        }
        let limit = usize::try_from(attempt.max_tokens).unwrap() * TOKEN_BYTES;
        let is_cut = answer.len() > limit;
        answer.truncate(limit);
        assert!(engine.features.replay || attempt.accepted.is_empty(), "nothing to accept here");
        let accepted = attempt.accepted.iter().copied();
        assert!(accepted.eq((FIRST_ID..).take(attempt.accepted.len())), "ids never generated");
        let replayed = u32::try_from(attempt.accepted.len()).unwrap();
        let deaths = engine.deaths.subscribe();
        let born_after = *deaths.borrow();
        Self {
            engine: Arc::clone(engine),
            act,
            answer,
            is_cut,
            index: attempt.accepted.len(),
            replayed: (replayed > 0).then_some(replayed),
            born_after,
            deaths,
            _working: engine.begin(attempt.id),
        }
    }

    async fn token(&mut self) -> Result<EngineEvent, AdapterError> {
        if let Some(tokens) = self.replayed.take() {
            return Ok(EngineEvent::Replayed { tokens });
        }
        match self.act {
            Act::DieAt(index) if index == self.index => return Err(lost()),
            Act::PanicAt(index) if index == self.index => panic!("told to panic"),
            Act::HangAt(index) if index == self.index => std::future::pending().await,
            _ => {}
        }
        let from = self.index * TOKEN_BYTES;
        if from >= self.answer.len() {
            return Ok(EngineEvent::Finished(Finish {
                reason: if self.is_cut { FinishReason::Length } else { FinishReason::Stop },
                further: Vec::new(),
                prompt_tokens: None,
                output_tokens: None,
            }));
        }
        let (engine, born_after) = (Arc::clone(&self.engine), self.born_after);
        tokio::select! {
            biased;
            _died = self.deaths.wait_for(|deaths| *deaths > born_after) => return Err(lost()),
            permit = engine.gate.acquire() => permit.unwrap().forget(),
        }
        let to = self.answer.len().min(from + TOKEN_BYTES);
        let id = FIRST_ID + u32::try_from(self.index).unwrap();
        self.index += 1;
        Ok(EngineEvent::Output(Output::text(
            self.engine.tells_ids.then_some(id),
            self.engine.counts.then_some(1),
            Bytes::copy_from_slice(&self.answer[from..to]),
        )))
    }
}

fn lost() -> AdapterError {
    AdapterError::Lost { reason: "the worker died".to_owned() }
}

async fn step(
    generation: Option<Generation>,
) -> Option<(Result<EngineEvent, AdapterError>, Option<Generation>)> {
    let mut generation = generation?;
    if generation.act == Act::CloseAt(generation.index) {
        return None;
    }
    let event = generation.token().await;
    let is_over = matches!(event, Err(_) | Ok(EngineEvent::Finished(_)));
    Some((event, (!is_over).then_some(generation)))
}

/// What an engine says to a prompt in `tokens` tokens.
pub(crate) fn answer(prompt: &str, tokens: usize) -> String {
    let bytes = &prompt.as_bytes()[..prompt.len().min(tokens * TOKEN_BYTES)];
    let whole = bytes.utf8_chunks().map(|chunk| chunk.valid());
    whole.collect()
}
