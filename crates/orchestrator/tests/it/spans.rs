use std::{sync::Mutex, time::Duration};

use api_types::{TaskRequest, TaskState};
use narration::TraceContext;
use orchestrator::{PoolState, Span, SpanSink, Stage, Submission};
use orchestrator_core::TaskId;

use crate::{
    engine::{Act, Engine},
    house::{House, prompt, submission},
    reading::until,
};

const CLIENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OWN_SPAN: u64 = 0xabc;

/// Keeps the spans it is told of.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<ToldSpan>>);

#[derive(Debug, Clone)]
pub(crate) struct ToldSpan {
    stage: Stage,
    place: TraceContext,
    parent_span: Option<u64>,
    began: Duration,
    took: Duration,
    task: Option<TaskId>,
    model: Option<String>,
    pool_id: Option<String>,
    attempt: Option<u64>,
    failure: Option<String>,
}

impl SpanSink for Told {
    fn ended(&self, span: &Span<'_>) {
        self.0.lock().unwrap().push(ToldSpan {
            stage: span.stage,
            place: span.place,
            parent_span: span.parent_span,
            began: span.began,
            took: span.took,
            task: span.task,
            model: span.model.map(str::to_owned),
            pool_id: span.pool_id.map(str::to_owned),
            attempt: span.attempt,
            failure: span.failure.map(str::to_owned),
        });
    }
}

impl Told {
    fn all(&self) -> Vec<ToldSpan> {
        self.0.lock().unwrap().clone()
    }

    /// Stages and failures, in the order of their ends.
    fn outline(&self) -> Vec<(Stage, Option<String>)> {
        self.all().into_iter().map(|span| (span.stage, span.failure)).collect()
    }
}

fn traced(request: TaskRequest) -> Submission {
    let client = TraceContext::parse(CLIENT).unwrap();
    Submission {
        traceparent: Some(client.child(OWN_SPAN).to_string()),
        parent_span: Some(client.span_number()),
        ..submission(request)
    }
}

fn went_well(stages: &[Stage]) -> Vec<(Stage, Option<String>)> {
    stages.iter().map(|stage| (*stage, None)).collect()
}

/// Verifies: ORCH-269
#[tokio::test]
async fn a_task_leaves_one_span_a_stage_under_the_clients_place() {
    use Stage::{Admission, Dispatch, Placement, Queue, Stream};
    let house = House::with([Engine::new("a")]).await;
    let task = house.try_submit(traced(prompt("hello"))).await.unwrap().task.id;
    house.story(task).await;
    until("the stream's span is told", || house.spans.all().len() == 5).await;
    let spans = house.spans.all();
    let of = |stage: Stage| spans.iter().find(|span| span.stage == stage).unwrap();
    for span in &spans {
        assert_eq!(span.place.trace_id(), CLIENT[3..35]);
        assert!(span.place.is_recorded());
        assert_eq!((span.task, span.failure.as_deref()), (Some(task), None), "{span:?}");
        assert_eq!(span.model.as_deref(), Some("tiny"), "{span:?}");
    }
    let client = TraceContext::parse(CLIENT).unwrap().span_number();
    assert_eq!(of(Admission).parent_span, Some(client));
    assert_eq!(of(Admission).place.span_number(), OWN_SPAN);
    for stage in [Queue, Placement, Dispatch] {
        assert_eq!(of(stage).parent_span, Some(OWN_SPAN), "{stage:?}");
    }
    assert_eq!(of(Stream).parent_span, Some(of(Dispatch).place.span_number()));
    // What the engine was told is the place of its dispatch.
    let told = house.engine(0).seen()[0].traceparent.clone().unwrap();
    assert_eq!(*told, *of(Dispatch).place.to_string());
    for stage in [Placement, Dispatch, Stream] {
        assert_eq!(of(stage).pool_id.as_deref(), Some("a"), "{stage:?}");
    }
    assert_eq!((of(Dispatch).attempt, of(Stream).attempt), (None, Some(1)));
    // One follows the other without a gap.
    let end = |stage: Stage| of(stage).began + of(stage).took;
    assert_eq!(of(Dispatch).began.as_millis(), end(Placement).as_millis());
    assert_eq!(of(Stream).began.as_millis(), end(Dispatch).as_millis());
    let mut places: Vec<u64> = spans.iter().map(|span| span.place.span_number()).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 5, "two spans have one place");
}

/// Verifies: ORCH-269
#[tokio::test]
async fn a_failed_attempt_and_the_next_are_in_the_same_trace() {
    use Stage::{Admission, Dispatch, Placement, Queue, Stream};
    let house = House::with([Engine::new("a").replays(), Engine::new("b").replays()]).await;
    house.engine(0).next([Act::DieAt(2)]);
    let task = house.try_submit(traced(prompt("hello there"))).await.unwrap().task.id;
    house.story(task).await;
    let spans = || house.spans.outline();
    until("all spans are told", || {
        spans().last().is_some_and(|(stage, failure)| *stage == Stream && failure.is_none())
    })
    .await;
    let attempt = |failure: Option<&str>| {
        let mut of_attempt = went_well(&[Queue, Placement, Dispatch]);
        of_attempt.push((Stream, failure.map(str::to_owned)));
        of_attempt
    };
    let mut expected = went_well(&[Admission]);
    expected.extend(attempt(Some("lost")));
    expected.extend(attempt(None));
    // The scheduler may start the task before its admission has returned.
    let mut told = spans();
    told.sort_by_key(|(stage, _)| *stage != Admission);
    assert_eq!(told, expected);
    let streams: Vec<_> =
        house.spans.all().into_iter().filter(|span| span.stage == Stream).collect();
    let attempts: Vec<_> = streams.iter().map(|span| span.attempt).collect();
    assert_eq!(attempts, [Some(1), Some(2)]);
    assert!(streams.iter().all(|span| span.place.trace_id() == CLIENT[3..35]));
}

/// Verifies: ORCH-269
#[tokio::test]
async fn the_trace_goes_on_after_a_kill() {
    let mut house = House::with([Engine::new("a").slots(1).replays().gated()]).await;
    let task = house.try_submit(traced(prompt("hello"))).await.unwrap().task.id;
    let waits = house.try_submit(traced(prompt("waits"))).await.unwrap().task.id;
    house.shown(task, 1).await;
    house.kill().await;
    let before = house.spans.all().len();
    house.engine(0).open();
    house.start().await;
    house.story(task).await;
    house.story(waits).await;
    until("all spans are told", || house.spans.all().len() == before + 8).await;
    let spans = house.spans.all().split_off(before);
    for span in &spans {
        assert_eq!(span.place.trace_id(), CLIENT[3..35], "{span:?}");
        if span.stage != Stage::Stream {
            assert_eq!(span.parent_span, Some(OWN_SPAN), "{span:?}");
        }
    }
    let of_task = spans.iter().filter(|span| span.task == Some(task));
    assert!(of_task.clone().any(|span| span.stage == Stage::Stream && span.attempt == Some(2)));
    // The wait of what never ran is told whole.
    let admitted_at_ms = house.row(waits).await.spec.admitted_at_ms;
    let wait = |span: &&ToldSpan| span.stage == Stage::Queue && span.task == Some(waits);
    assert_eq!(spans.iter().find(wait).unwrap().began, Duration::from_millis(admitted_at_ms));
}

/// Verifies: ORCH-269
#[tokio::test]
async fn a_refusal_and_a_wait_that_led_to_nothing_say_why() {
    let house = House::with([Engine::new("a")]).await;
    let nowhere = TaskRequest { model_ref: Some("nowhere".to_owned()), ..prompt("hello") };
    house.try_submit(traced(nowhere)).await.unwrap_err();
    let refused = house.spans.all().pop().unwrap();
    assert_eq!((refused.stage, refused.task), (Stage::Admission, None));
    assert_eq!(refused.failure.as_deref(), Some("MODEL_NOT_FOUND"));
    assert_eq!(refused.model.as_deref(), Some("nowhere"));

    house.announce(house.engine(0), PoolState::Backoff);
    let task = house.try_submit(traced(prompt("hello"))).await.unwrap().task.id;
    house.orchestrator().cancel(task).await.unwrap();
    house.reaches(task, TaskState::Canceled).await;
    let waited = house.spans.all().pop().unwrap();
    assert_eq!((waited.stage, waited.task), (Stage::Queue, Some(task)));
    assert_eq!(waited.failure.as_deref(), Some("canceled"));
}

/// Verifies: ORCH-269
#[tokio::test]
async fn what_has_no_trace_leaves_no_spans() {
    let house = House::with([Engine::new("a")]).await;
    let task = house.submit(prompt("hello")).await;
    house.story(task).await;
    house.idle().await;
    assert!(house.spans.all().is_empty());
}
