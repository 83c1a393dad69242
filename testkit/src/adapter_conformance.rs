use std::{sync::Arc, time::Duration};

use adapter_host::{
    AdapterError, Attempt, AttemptId, EngineAdapter, EngineEvent, EngineStream, Finish,
    FinishReason, Input, Output, Sampling,
};
use api_types::OutputRequest;
use futures_util::StreamExt as _;
use uuid::Uuid;

/// Longest wait for a single event, so that an adapter that hangs fails its test.
const PATIENCE: Duration = Duration::from_secs(60);

/// More tokens than any answer here is read to, and less than the context of a small model.
const ANSWER_TOKENS_MAX: u32 = 1000;

/// An adapter to check against the contract of [`EngineAdapter`], and what to ask of it.
pub struct Subject<'a> {
    /// The adapter, on an engine with nothing else to do.
    pub adapter: &'a dyn EngineAdapter,
    /// A model it serves.
    pub model: &'a str,
    /// Input whose answer has at least two tokens and ends by itself.
    pub input: Input,
    /// Input whose answer is still going on a while after its first token.
    pub long_input: Input,
}

/// Everything an attempt gave.
#[derive(Debug)]
pub struct Collected {
    /// The outputs, in order.
    pub outputs: Vec<Output>,
    /// How the engine ended it.
    pub end: Result<Finish, AdapterError>,
}

impl Collected {
    /// The bytes of all outputs together.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.outputs.iter().flat_map(|output| output.bytes.iter().copied()).collect()
    }

    /// The outputs as text.
    ///
    /// # Panics
    /// When they are not UTF-8 together.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).expect("the answer is UTF-8")
    }
}

/// A new attempt with default sampling.
#[must_use]
pub fn attempt(model: &str, input: Input, max_tokens: u32) -> Attempt {
    Attempt {
        id: AttemptId(Uuid::now_v7()),
        model: model.into(),
        input,
        accepted: Arc::from([]),
        max_tokens,
        sampling: Sampling::default(),
        output: OutputRequest::default(),
        run_settings: None,
        correlation_id: "conformance".into(),
        traceparent: None,
    }
}

/// Reads a stream to its end.
///
/// # Panics
/// When it ends without saying how, goes on after its end, or says nothing for a minute.
pub async fn collect(mut stream: EngineStream) -> Collected {
    let mut outputs = Vec::new();
    loop {
        let end = match next(&mut stream).await.expect("a stream says how it ended") {
            Ok(EngineEvent::Output(output)) => {
                outputs.push(output);
                continue;
            }
            Ok(EngineEvent::Finished(finish)) => Ok(finish),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        assert!(next(&mut stream).await.is_none(), "a stream is over after its end");
        return Collected { outputs, end };
    }
}

/// Submits an attempt and reads it to its end; a refusal is an end without output.
///
/// # Panics
/// As [`collect`].
pub async fn run(adapter: &dyn EngineAdapter, attempt: Attempt) -> Collected {
    match adapter.submit(attempt).await {
        Ok(stream) => collect(stream).await,
        Err(error) => Collected { outputs: Vec::new(), end: Err(error) },
    }
}

/// Checks all that the contract promises of every adapter.
///
/// # Panics
/// When the adapter does not keep to it.
pub async fn check(subject: &Subject<'_>) {
    tells_what_it_is(subject).await;
    answers_once_and_ends(subject).await;
    stops_at_the_token_limit(subject).await;
    gives_equal_bytes_where_it_says_so(subject).await;
    refuses_a_model_it_does_not_have(subject).await;
    frees_the_slot_of_a_dropped_stream(subject).await;
    frees_the_slot_of_an_aborted_attempt(subject).await;
    subject
        .adapter
        .abort(AttemptId(Uuid::now_v7()))
        .await
        .expect("an unknown attempt is free already");
}

async fn tells_what_it_is(subject: &Subject<'_>) {
    subject.adapter.health().await.expect("the engine is well");
    let props = subject.adapter.props().await.expect("the engine tells what it is");
    assert!(props.slots > 0, "an engine has slots");
    assert!(props.models.iter().any(|model| model.name == subject.model), "it lists its models");
}

async fn answers_once_and_ends(subject: &Subject<'_>) {
    let answer =
        run(subject.adapter, attempt(subject.model, subject.input.clone(), ANSWER_TOKENS_MAX))
            .await;
    assert_eq!(answer.end.as_ref().expect("it ends in order").reason, FinishReason::Stop);
    assert!(!answer.text().is_empty());
    check_count(&answer);
}

async fn stops_at_the_token_limit(subject: &Subject<'_>) {
    let answer = run(subject.adapter, attempt(subject.model, subject.input.clone(), 1)).await;
    assert_eq!(answer.end.as_ref().expect("it ends in order").reason, FinishReason::Length);
    check_count(&answer);
}

/// Where both the chunks and the end count tokens, the counts agree but for tokens without text.
fn check_count(answer: &Collected) {
    let counted: Option<u32> = answer.outputs.iter().map(|output| output.tokens).sum();
    if let (Some(counted), Some(told)) =
        (counted, answer.end.as_ref().expect("an end").output_tokens)
    {
        assert!(counted <= told, "{counted} tokens came, and the engine counts {told}");
    }
}

async fn gives_equal_bytes_where_it_says_so(subject: &Subject<'_>) {
    if subject.adapter.props().await.expect("the engine tells what it is").features.strict {
        let request = || attempt(subject.model, subject.input.clone(), 32);
        let first = run(subject.adapter, request()).await;
        let second = run(subject.adapter, request()).await;
        assert_eq!(first.bytes(), second.bytes());
    }
}

async fn refuses_a_model_it_does_not_have(subject: &Subject<'_>) {
    let answer = run(subject.adapter, attempt("no-such-model", subject.input.clone(), 1)).await;
    let is_absent =
        matches!(&answer.end, Err(AdapterError::ModelAbsent { model }) if model == "no-such-model");
    assert!(is_absent, "{:?}", answer.end);
}

/// With every slot taken once and given up, and one more, an engine that keeps slots is stuck.
async fn frees_the_slot_of_a_dropped_stream(subject: &Subject<'_>) {
    for _ in 0..=slots(subject).await {
        drop(first_output(subject).await);
    }
    stops_at_the_token_limit(subject).await;
}

async fn frees_the_slot_of_an_aborted_attempt(subject: &Subject<'_>) {
    for _ in 0..=slots(subject).await {
        let (id, stream) = first_output(subject).await;
        subject.adapter.abort(id).await.expect("an attempt can be aborted");
        let end = collect(stream).await.end;
        assert!(matches!(end, Err(AdapterError::Aborted)), "{end:?}");
    }
    stops_at_the_token_limit(subject).await;
}

async fn slots(subject: &Subject<'_>) -> u32 {
    subject.adapter.props().await.expect("the engine tells what it is").slots
}

/// A long attempt that has given its first output.
async fn first_output(subject: &Subject<'_>) -> (AttemptId, EngineStream) {
    let attempt = attempt(subject.model, subject.long_input.clone(), ANSWER_TOKENS_MAX);
    let id = attempt.id;
    let mut stream = subject.adapter.submit(attempt).await.expect("the engine takes the attempt");
    loop {
        match next(&mut stream).await.expect("a stream says how it ended") {
            Ok(EngineEvent::Output(_)) => return (id, stream),
            Ok(EngineEvent::Finished(finish)) => panic!("the long answer is over: {finish:?}"),
            Ok(_) => {}
            Err(error) => panic!("the long answer failed: {error}"),
        }
    }
}

async fn next(stream: &mut EngineStream) -> Option<Result<EngineEvent, AdapterError>> {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("the engine says something in time")
}
