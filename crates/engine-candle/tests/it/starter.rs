//! The starter model, and attempts on it.

use std::{fs::File, num::NonZeroUsize, sync::Arc};

use adapter_host::{
    AdapterError, Attempt, AttemptId, EngineAdapter as _, EngineEvent, EngineStream, Finish, Input,
    Sampling,
};
use camino::Utf8PathBuf;
use engine_candle::{CandleConfig, CandleEngine, LoadError, Vocabulary};
use futures_util::StreamExt as _;
use prompt::PromptModel;

pub(crate) const MODEL: &str = "starter";

pub(crate) fn path() -> Utf8PathBuf {
    let path = Utf8PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/setup/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    ));
    assert!(path.exists(), "{path} is missing: run cargo xtask setup");
    path
}

/// The model's tokenizer, read once.
pub(crate) fn words() -> &'static PromptModel {
    static WORDS: std::sync::LazyLock<PromptModel> = std::sync::LazyLock::new(|| {
        let header = gguf::Header::read(File::open(path()).unwrap()).unwrap();
        PromptModel::from_gguf(&header).unwrap()
    });
    &WORDS
}

pub(crate) struct Words;

impl Vocabulary for Words {
    fn token_bytes(&self, id: u32) -> &[u8] {
        words().token_bytes(id).unwrap_or_default()
    }

    fn ends_generation(&self, id: u32) -> bool {
        words().is_end_of_generation(id)
    }
}

pub(crate) fn config(threads: usize) -> CandleConfig {
    CandleConfig::new(MODEL, NonZeroUsize::new(threads).unwrap())
}

pub(crate) async fn engine() -> CandleEngine {
    load(config(2)).await.unwrap()
}

pub(crate) async fn load(config: CandleConfig) -> Result<CandleEngine, LoadError> {
    CandleEngine::load(path(), Arc::new(Words), config, |_progress| {}).await
}

/// A question in the model's own template.
pub(crate) fn ask(question: &str) -> Arc<[u32]> {
    let text = format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n");
    words().encode(&text, true).into()
}

pub(crate) fn attempt(prompt: Arc<[u32]>, max_tokens: u32, sampling: Sampling) -> Attempt {
    Attempt {
        id: AttemptId(uuid::Uuid::now_v7()),
        model: MODEL.into(),
        input: Input::Tokens(prompt),
        accepted: [].into(),
        max_tokens,
        sampling,
        output: api_types::OutputRequest::default(),
        run_settings: None,
        correlation_id: "".into(),
        traceparent: None,
    }
}

pub(crate) fn greedy() -> Sampling {
    Sampling { temperature: 0.0, ..Sampling::default() }
}

/// What an attempt said.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) ids: Vec<u32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) settings: Option<serde_json::Value>,
    pub(crate) prompt_progress: Vec<(u32, u32)>,
    pub(crate) replayed: u32,
    pub(crate) end: Option<Result<Finish, AdapterError>>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    pub(crate) fn finish(&self) -> Finish {
        self.end.as_ref().unwrap().as_ref().unwrap().clone()
    }
}

pub(crate) async fn run(engine: &CandleEngine, attempt: Attempt) -> Answer {
    collect(engine.submit(attempt).await.unwrap()).await
}

pub(crate) async fn collect(mut stream: EngineStream) -> Answer {
    let mut answer = Answer::default();
    while let Some(event) = stream.next().await {
        assert!(answer.end.is_none(), "nothing follows the end");
        match event {
            Ok(EngineEvent::Started { run_settings }) => {
                assert!(answer.settings.is_none(), "it starts once");
                answer.settings = Some(run_settings);
            }
            Ok(EngineEvent::PromptProgress { tokens_done, tokens_total }) => {
                answer.prompt_progress.push((tokens_done, tokens_total));
            }
            Ok(EngineEvent::Replayed { tokens }) => answer.replayed = tokens,
            Ok(EngineEvent::Output(output)) => {
                assert!(answer.settings.is_some(), "it starts first");
                assert_eq!(output.tokens, Some(1));
                answer.ids.push(output.id.unwrap());
                answer.bytes.extend_from_slice(&output.bytes);
            }
            Ok(EngineEvent::Result(_)) => panic!("a generation has no result"),
            Ok(EngineEvent::Finished(finish)) => answer.end = Some(Ok(finish)),
            Err(error) => answer.end = Some(Err(error)),
        }
    }
    answer
}
