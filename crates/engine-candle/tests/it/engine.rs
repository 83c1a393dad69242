use std::sync::Arc;

use adapter_host::{
    AdapterError, AttemptId, Cause, EngineAdapter as _, EngineEvent, EngineStream, Input,
    SamplingSupport,
};
use engine_candle::{CandleConfig, CandleEngine, Vocabulary};
use futures_util::StreamExt as _;

use crate::starter::{MODEL, Words, ask, attempt, collect, config, greedy, path, run};

/// The model's words, but no answer ends by itself.
struct Endless;

impl Vocabulary for Endless {
    fn token_bytes(&self, id: u32) -> &[u8] {
        Words.token_bytes(id)
    }

    fn ends_generation(&self, _id: u32) -> bool {
        false
    }
}

async fn engine() -> CandleEngine {
    load(config(2)).await
}

async fn load(config: CandleConfig) -> CandleEngine {
    CandleEngine::load(path(), Arc::new(Endless), config, |_progress| {}).await.unwrap()
}

/// An attempt that goes on for longer than any test.
fn endless() -> adapter_host::Attempt {
    attempt(ask("Tell me a story."), 4000, greedy())
}

/// Reads until the first output.
async fn until_output(stream: &mut EngineStream) {
    while let Some(event) = stream.next().await {
        if matches!(event.unwrap(), EngineEvent::Output(_)) {
            return;
        }
    }
    panic!("the stream ended before its first output");
}

/// Verifies: ORCH-067, ORCH-054
#[tokio::test]
async fn an_abort_frees_the_slot_for_the_next_attempt() {
    let engine = engine().await;
    let running = endless();
    let id = running.id;
    let mut stream = engine.submit(running).await.unwrap();
    until_output(&mut stream).await;
    engine.abort(id).await.unwrap();
    let aborted = collect_rest(stream).await;
    assert!(matches!(aborted, AdapterError::Aborted), "{aborted:?}");
    assert_eq!(aborted.cause(), Cause::Planned);
    assert_eq!(run(&engine, attempt(ask("Hello"), 2, greedy())).await.ids.len(), 2);
}

async fn collect_rest(mut stream: EngineStream) -> AdapterError {
    while let Some(event) = stream.next().await {
        if let Err(error) = event {
            assert!(stream.next().await.is_none(), "nothing follows an error");
            return error;
        }
    }
    panic!("the stream ended without an error");
}

/// Verifies: ORCH-054
#[tokio::test]
async fn an_abort_is_noticed_between_chunks_of_a_prompt() {
    let engine = engine().await;
    let long: Arc<[u32]> = (0..6000).map(|i| 100 + i % 5000).collect();
    let reading = attempt(long, 4, greedy());
    let id = reading.id;
    let mut stream = engine.submit(reading).await.unwrap();
    while !matches!(stream.next().await.unwrap().unwrap(), EngineEvent::PromptProgress { .. }) {}
    engine.abort(id).await.unwrap();
    let mut chunks = 1;
    while let Some(Ok(event)) = stream.next().await {
        assert!(matches!(event, EngineEvent::PromptProgress { .. }));
        chunks += 1;
    }
    assert!(chunks < 6000 / 64, "it stopped before the prompt was read");
}

#[tokio::test]
async fn a_waiting_attempt_is_aborted_at_once_and_an_unknown_one_is_free() {
    let engine = engine().await;
    let running = engine.submit(endless()).await.unwrap();
    let waiting = endless();
    let id = waiting.id;
    let stream = engine.submit(waiting).await.unwrap();
    engine.abort(id).await.unwrap();
    assert!(matches!(collect_rest(stream).await, AdapterError::Aborted));
    engine.abort(AttemptId(uuid::Uuid::now_v7())).await.unwrap();
    drop(running);
}

/// Verifies: ORCH-161
#[tokio::test]
async fn dropping_the_stream_stops_the_attempt() {
    let engine = engine().await;
    let mut stream = engine.submit(endless()).await.unwrap();
    until_output(&mut stream).await;
    drop(stream);
    // It would have to wait for thousands of tokens otherwise.
    assert_eq!(run(&engine, attempt(ask("Hello"), 2, greedy())).await.ids.len(), 2);
}

#[tokio::test]
async fn one_attempt_more_than_may_wait_is_refused_as_overload() {
    let mut config = config(2);
    config.waiting_max = 2;
    let engine = load(config).await;
    let running = engine.submit(endless()).await.unwrap();
    let waiting = [
        engine.submit(endless()).await.unwrap(),
        engine.submit(attempt(ask("Hello"), 2, greedy())).await.unwrap(),
    ];
    let refused = engine.submit(endless()).await.err().unwrap();
    assert!(matches!(refused, AdapterError::Overloaded { .. }), "{refused:?}");

    let [given_up, last] = waiting;
    drop(given_up); // its place is free at once
    let again = engine.submit(endless()).await.unwrap();
    drop((running, again));
    assert_eq!(collect(last).await.ids.len(), 2, "those that wait run in turn");
}

/// Verifies: ORCH-163
#[tokio::test]
async fn what_cannot_be_run_is_refused_with_its_reason() {
    let mut config = config(1);
    config.ctx_max = 64;
    let engine = load(config).await;
    let good = || attempt(ask("Hello"), 4, greedy());
    let refusal = async |attempt| engine.submit(attempt).await.err().unwrap();

    let mut long = good();
    long.max_tokens = 64;
    assert!(matches!(refusal(long).await, AdapterError::ContextExceeded));
    let mut accepted = good();
    accepted.accepted = [5; 64].into();
    assert!(matches!(refusal(accepted).await, AdapterError::ContextExceeded));
    let mut foreign = good();
    foreign.model = "another".into();
    assert!(matches!(refusal(foreign).await, AdapterError::ModelAbsent { .. }));

    let mut refused = [good(), good(), good(), good(), good(), good()];
    refused[0].input = Input::Tokens([].into());
    refused[1].input = Input::Tokens([1, 49_152].into());
    refused[2].accepted = [u32::MAX].into();
    refused[3].input = Input::Text("Hello".into());
    refused[4].sampling.temperature = f32::NAN;
    refused[5].sampling.top_p = 0.0;
    for attempt in refused {
        let (input, accepted) = (attempt.input.clone(), attempt.accepted.clone());
        let error = refusal(attempt).await;
        assert!(matches!(error, AdapterError::Refused { .. }), "{error:?}: {input:?} {accepted:?}");
        assert_eq!(error.cause(), Cause::Task);
    }

    let fits = 64 - u32::try_from(ask("Hello").len()).unwrap();
    let mut whole = good();
    whole.max_tokens = fits;
    assert!(engine.submit(whole).await.is_ok(), "the context may be filled to the last token");
}

/// Verifies: ORCH-161
#[tokio::test]
async fn properties_tell_what_the_engine_can_do() {
    let engine = engine().await;
    engine.health().await.unwrap();
    let props = engine.props().await.unwrap();
    assert_eq!((props.engine.as_str(), props.slots), ("candle", 1));
    assert_eq!((&*props.models[0].name, props.models[0].ctx_max), (MODEL, Some(8192)));
    assert!(props.features.token_ids && props.features.replay && props.features.strict);
    assert_eq!(props.features.sampling, SamplingSupport::ALL);
}

/// Stands for whatever in a hostile model makes the engine panic.
struct Trap;

impl Vocabulary for Trap {
    fn token_bytes(&self, _id: u32) -> &[u8] {
        panic!("the trap")
    }

    fn ends_generation(&self, _id: u32) -> bool {
        false
    }
}

/// Verifies: ORCH-106
#[tokio::test]
async fn a_panic_ends_the_attempt_and_the_engine_but_not_the_process() {
    let engine =
        CandleEngine::load(path(), Arc::new(Trap), config(1), |_progress| {}).await.unwrap();
    let running = engine.submit(attempt(ask("Hello"), 4, greedy())).await.unwrap();
    let lost = collect_rest(running).await;
    assert!(matches!(&lost, AdapterError::Lost { reason } if reason.contains("the trap")));
    assert_eq!(lost.cause(), Cause::Worker);
    let health = engine.health().await.unwrap_err();
    assert!(matches!(health, AdapterError::Lost { .. }), "{health:?}");
    let later = engine.submit(attempt(ask("Hello"), 4, greedy())).await.err().unwrap();
    assert!(matches!(later, AdapterError::Lost { .. }), "{later:?}");
}

#[tokio::test]
async fn dropping_the_engine_ends_its_threads_and_its_streams() {
    let words: Arc<dyn Vocabulary> = Arc::new(Endless);
    let engine =
        CandleEngine::load(path(), Arc::clone(&words), config(2), |_progress| {}).await.unwrap();
    let running = engine.submit(endless()).await.unwrap();
    let waiting = engine.submit(endless()).await.unwrap();
    drop(engine);
    assert_eq!(Arc::strong_count(&words), 1, "no thread of the engine is left");
    for stream in [running, waiting] {
        assert!(matches!(collect_rest(stream).await, AdapterError::Lost { .. }));
    }
}
