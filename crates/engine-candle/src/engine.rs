use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::JoinHandle,
};

use adapter_host::{
    AdapterError, Attempt, AttemptId, EngineAdapter, EngineEvent, EngineModel, EngineStream,
    Features, Input, OutputSupport, Props, SamplingSupport, Workloads,
};
use async_trait::async_trait;
use camino::Utf8PathBuf;
use futures_core::Stream;
use tokio::sync::oneshot;

use crate::{
    ARITHMETIC, CandleConfig, Kernels, Llama, LoadError, RunSettings, Sampler, Vocabulary,
    desk::{Desk, Events},
    generation::{self, Generator},
};

/// What the engine can do, whichever model it holds.
pub const FEATURES: Features = Features {
    token_ids: true,
    chat: false,
    replay: true,
    strict: true,
    sampling: SamplingSupport::ALL,
    output: OutputSupport {
        json_object: false,
        json_schema: false,
        logprobs: false,
        tools: false,
        choices: false,
        images: false,
    },
    image_tokens: 0,
    workloads: Workloads { completion: true, embedding: false },
};

/// One model, in this process, behind [`EngineAdapter`].
///
/// Dropping it ends its threads and waits for them: at most one token, one chunk of a prompt or, while it
/// loads, one tensor. Streams that are still open end as lost.
pub struct CandleEngine {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    config: CandleConfig,
    ctx_max: u32,
    vocabulary_tokens: u32,
}

/// How far loading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of tensors read.
    pub done_bytes: u64,
    /// Bytes of all tensors.
    pub total_bytes: u64,
}

/// What the engine's thread found in the model.
struct Loaded {
    ctx_max: usize,
    vocabulary_tokens: usize,
}

impl CandleEngine {
    /// Loads a model on a thread of its own and resolves when it has computed its first token.
    /// `progress` is called on that thread, after each tensor. Dropping the future gives up.
    ///
    /// # Errors
    /// Why the model cannot be used.
    pub async fn load(
        path: impl Into<Utf8PathBuf>,
        vocabulary: Arc<dyn Vocabulary>,
        config: CandleConfig,
        progress: impl FnMut(LoadProgress) + Send + 'static,
    ) -> Result<Self, LoadError> {
        let desk = Arc::new(Desk::new());
        let (sender, loaded) = oneshot::channel();
        let thread = Thread {
            path: path.into(),
            vocabulary,
            config: config.clone(),
            desk: Arc::clone(&desk),
            loaded: sender,
        };
        let thread = std::thread::Builder::new()
            .name("candle-engine".to_owned())
            .spawn(move || thread.run(progress))
            .map_err(|error| LoadError::Threads { reason: error.to_string() })?;
        let thread = Some(thread);
        // From here on dropping the engine, and so this future, ends the thread.
        let mut engine = Self { desk, thread, config, ctx_max: 0, vocabulary_tokens: 0 };
        let loaded = loaded.await.map_err(|_gone| LoadError::Panicked {
            reason: "the engine's thread ended".to_owned(),
        })??;
        engine.ctx_max = u32::try_from(loaded.ctx_max).expect("it was capped by a u32");
        engine.vocabulary_tokens =
            u32::try_from(loaded.vocabulary_tokens).expect("it was read from a u32");
        Ok(engine)
    }

    /// The ids to start from, if the attempt can be run here.
    fn check(&self, attempt: &Attempt) -> Result<Arc<[u32]>, AdapterError> {
        const REFUSED: AdapterError = AdapterError::Refused { status: None, text: None };
        if *attempt.model != *self.config.model_name {
            return Err(AdapterError::ModelAbsent { model: attempt.model.to_string() });
        }
        let Input::Tokens(prompt) = &attempt.input else { return Err(REFUSED) };
        if prompt.is_empty() {
            return Err(REFUSED);
        }
        let is_known = |&id: &u32| id < self.vocabulary_tokens;
        if !prompt.iter().chain(&*attempt.accepted).all(is_known) {
            return Err(REFUSED);
        }
        if attempt.output.is_constrained() || attempt.output.logprobs.is_some() {
            return Err(REFUSED);
        }
        Sampler::new(attempt.sampling.clone(), &[], &[]).map_err(|_range| REFUSED)?;
        if let Some(settings) = &attempt.run_settings {
            let recorded: Result<RunSettings, _> = serde_json::from_value(settings.clone());
            let is_ours = |recorded: &RunSettings| recorded.arithmetic == ARITHMETIC;
            if !recorded.as_ref().is_ok_and(is_ours) {
                return Err(AdapterError::SettingsUnavailable);
            }
        }
        let answer = attempt.max_tokens as usize;
        if prompt.len() + answer.max(attempt.accepted.len()) > self.ctx_max as usize {
            return Err(AdapterError::ContextExceeded);
        }
        Ok(Arc::clone(prompt))
    }
}

impl Drop for CandleEngine {
    fn drop(&mut self) {
        self.desk.stop();
        if let Some(thread) = self.thread.take() {
            // A panic was already told to those who waited; there is nobody else to tell.
            let _ended = thread.join();
        }
    }
}

#[async_trait]
impl EngineAdapter for CandleEngine {
    async fn health(&self) -> Result<(), AdapterError> {
        match self.desk.failure() {
            None => Ok(()),
            Some(reason) => Err(AdapterError::Lost { reason }),
        }
    }

    async fn props(&self) -> Result<Props, AdapterError> {
        Ok(Props {
            engine: "candle".to_owned(),
            engine_version: version(),
            models: vec![EngineModel {
                name: self.config.model_name.clone(),
                ctx_max: Some(self.ctx_max),
            }],
            slots: 1,
            features: FEATURES,
        })
    }

    async fn submit(&self, attempt: Attempt) -> Result<EngineStream, AdapterError> {
        let prompt = self.check(&attempt)?;
        let events_max = generation::events_max(
            prompt.len(),
            attempt.accepted.len(),
            attempt.max_tokens as usize,
            self.config.prefill_chunk_tokens.get(),
        );
        let events = self.desk.submit(attempt, prompt, events_max, self.config.waiting_max)?;
        Ok(Box::pin(EventStream(events)))
    }

    async fn abort(&self, attempt: AttemptId) -> Result<(), AdapterError> {
        if let Some(mut done) = self.desk.abort(attempt) {
            // Nothing is ever sent: an error says that the sender is gone, and with it the attempt.
            while done.changed().await.is_ok() {}
        }
        Ok(())
    }
}

/// Version of the engine: equal ones compute equal numbers.
#[must_use]
pub fn version() -> String {
    format!("{}+{ARITHMETIC}", env!("CARGO_PKG_VERSION"))
}

/// What an attempt says; dropping it is noticed before the next token.
struct EventStream(Events);

impl Stream for EventStream {
    type Item = Result<EngineEvent, AdapterError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// What the engine's thread owns.
struct Thread {
    path: Utf8PathBuf,
    vocabulary: Arc<dyn Vocabulary>,
    config: CandleConfig,
    desk: Arc<Desk>,
    loaded: oneshot::Sender<Result<Loaded, LoadError>>,
}

impl Thread {
    /// Loads the model and runs attempts until the engine stops or a model panics. All computing is done
    /// by a pool of its own, whose threads have ended when this returns.
    fn run(self, progress: impl FnMut(LoadProgress) + Send) {
        let desk = Arc::clone(&self.desk);
        let threads = self.config.threads.get();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("candle-{index}"));
        let mut loaded = Some(self.loaded);
        let answer = &mut loaded;
        let work = move || {
            let generator = load(&self.path, &self.vocabulary, &self.config, &self.desk, progress);
            let answer = answer.take().expect("it is answered once");
            let (generator, result) = match generator {
                Ok(generator) => {
                    let model = &generator.model;
                    let (ctx_max, vocabulary_tokens) = (model.tokens_max(), model.vocabulary());
                    (Some(generator), Ok(Loaded { ctx_max, vocabulary_tokens }))
                }
                Err(error) => (None, Err(error)),
            };
            if answer.send(result).is_ok()
                && let Some(generator) = generator
            {
                serve(generator, &self.desk);
            }
        };
        let built = pool.build_scoped(|thread| thread.run(), |pool| pool.install(work));
        desk.close("the engine was stopped");
        if let (Err(error), Some(answer)) = (built, loaded) {
            // Whoever asked may be gone, and then nobody needs the answer.
            let _gone = answer.send(Err(LoadError::Threads { reason: error.to_string() }));
        }
    }
}

/// Loads the model and computes one token with it.
fn load(
    path: &Utf8PathBuf,
    vocabulary: &Arc<dyn Vocabulary>,
    config: &CandleConfig,
    desk: &Desk,
    mut progress: impl FnMut(LoadProgress),
) -> Result<Generator, LoadError> {
    let kernels = Kernels::detect();
    let attempt = AssertUnwindSafe(|| {
        let mut model = Llama::load(path, config.ctx_max, kernels, |done_bytes, total_bytes| {
            progress(LoadProgress { done_bytes, total_bytes });
            !desk.is_stopping()
        })?;
        let failed = |what: String| LoadError::FirstToken { what };
        model.feed(&[0]).map_err(|error| failed(error.to_string()))?;
        if !model.logits().iter().all(|logit| logit.is_finite()) {
            return Err(failed("its logits are not finite numbers".to_owned()));
        }
        model.clear();
        Ok(model)
    });
    let model = catch_unwind(attempt)
        .unwrap_or_else(|panic| Err(LoadError::Panicked { reason: text_of(&*panic) }))?;
    Ok(Generator {
        model,
        vocabulary: Arc::clone(vocabulary),
        kernels,
        threads: config.threads.get(),
        prefill_chunk_tokens: config.prefill_chunk_tokens.get(),
    })
}

/// Runs attempts, one after the other, until the engine stops or one panics.
fn serve(mut generator: Generator, desk: &Desk) {
    while let Some(job) = desk.next() {
        let ended = catch_unwind(AssertUnwindSafe(|| generator.run(&job, desk)));
        match ended {
            Ok(ended) => desk.end(job, ended.map(EngineEvent::Finished)),
            Err(panic) => {
                let reason = format!("the engine panicked: {}", text_of(&*panic));
                desk.close(&reason);
                desk.end(job, Err(AdapterError::Lost { reason }));
                return;
            }
        }
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}
