use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use api_types::{ErrorBody, ErrorCode};
use async_trait::async_trait;
use operations::{
    BeginError, CancelError, Job, NewOperation, OperationId, OperationKind, OperationRecord,
    OperationState, OperationStore, Operations, OperationsOptions, Parts, Progress,
    testing::{MemoryStore, sample_operation},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Work that its test lets go on.
struct Gated {
    name: &'static str,
    cancelable: bool,
    resumable: bool,
    gate: Arc<Semaphore>,
    started: AtomicUsize,
    under_way: Arc<AtomicUsize>,
}

impl Gated {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            cancelable: true,
            resumable: true,
            gate: Arc::new(Semaphore::new(0)),
            started: AtomicUsize::new(0),
            under_way: Arc::default(),
        }
    }
}

/// Counts down when its future is dropped.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl OperationKind for Gated {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_cancelable(&self) -> bool {
        self.cancelable
    }

    fn is_resumable(&self) -> bool {
        self.resumable
    }

    async fn run(&self, job: &Job) -> Result<Value, ErrorBody> {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let _under_way = UnderWay(Arc::clone(&self.under_way));
        job.report(Progress { bytes_done: Some(7), ..Progress::default() });
        self.gate.acquire().await.unwrap().forget();
        match job.record().input.as_str() {
            Some("fail") => Err(job.error(ErrorCode::UntrustedArtifact, "another digest")),
            Some("panic") => panic!("the work is wrong"),
            _ => Ok(json!({ "of": job.record().target })),
        }
    }
}

struct World {
    store: Arc<MemoryStore>,
    kind: Arc<Gated>,
    now_ms: Arc<AtomicU64>,
    options: OperationsOptions,
}

impl World {
    fn new(kind: Gated) -> Self {
        let mut options = OperationsOptions::default();
        options.limits.running_max = 2;
        Self { store: Arc::default(), kind: Arc::new(kind), now_ms: Arc::default(), options }
    }

    async fn start(&self) -> Operations {
        let now_ms = Arc::clone(&self.now_ms);
        Operations::start(Parts {
            options: self.options,
            store: Arc::clone(&self.store) as _,
            kinds: vec![Arc::clone(&self.kind) as _],
            now_ms: Arc::new(move || now_ms.load(Ordering::SeqCst)),
        })
        .await
        .unwrap()
    }

    async fn stored(&self, id: OperationId) -> Option<OperationRecord> {
        self.store.load().await.unwrap().into_iter().find(|record| record.id == id)
    }
}

fn wish(target: &str, input: &str) -> NewOperation {
    NewOperation {
        kind: "model_fetch",
        target: target.to_owned(),
        input: json!(input),
        correlation_id: "c-7".to_owned(),
    }
}

/// Waits for something that other tasks on this thread bring about.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

/// Verifies: ORCH-012
#[tokio::test(start_paused = true)]
async fn an_operation_is_stored_shown_and_ends_with_its_result() {
    let world = World::new(Gated::new("model_fetch"));
    let operations = world.start().await;
    let begun = operations.begin(wish("a", "")).await.unwrap();
    assert_eq!(begun.state, OperationState::Running);
    assert!(world.stored(begun.id).await.is_some(), "it is kept before anybody is told");
    until(|| operations.get(begun.id).unwrap().progress.bytes_done == Some(7)).await;
    assert_eq!(operations.begin(wish("a", "")).await.unwrap().id, begun.id, "one flight");
    world.kind.gate.add_permits(1);
    let ended = operations.ended(begun.id).await.unwrap();
    assert_eq!(ended.state, OperationState::Succeeded);
    assert_eq!(ended.result, Some(json!({ "of": "a" })));
    assert_eq!(world.stored(begun.id).await, Some(ended));
    assert_eq!(world.kind.started.load(Ordering::SeqCst), 1);
    assert_eq!(operations.list(None, 10).len(), 1);
    assert_ne!(operations.begin(wish("a", "")).await.unwrap().id, begun.id);
}

/// Verifies: ORCH-012
#[tokio::test(start_paused = true)]
async fn failures_and_panics_end_an_operation_with_an_error() {
    let world = World::new(Gated::new("model_fetch"));
    let operations = world.start().await;
    world.kind.gate.add_permits(2);
    for (target, code) in [("fail", ErrorCode::UntrustedArtifact), ("panic", ErrorCode::Internal)] {
        let begun = operations.begin(wish(target, target)).await.unwrap();
        let ended = operations.ended(begun.id).await.unwrap();
        assert_eq!(ended.state, OperationState::Failed);
        let error = ended.error.unwrap();
        assert_eq!((error.code, error.correlation_id.as_str()), (code, "c-7"));
    }
}

/// Verifies: ORCH-012
#[tokio::test(start_paused = true)]
async fn a_canceled_operation_stops_and_stays_so() {
    let world = World::new(Gated::new("model_fetch"));
    let operations = world.start().await;
    let begun = operations.begin(wish("a", "")).await.unwrap();
    until(|| world.kind.under_way.load(Ordering::SeqCst) == 1).await;
    let canceled = operations.cancel(begun.id).await.unwrap();
    assert_eq!(canceled.state, OperationState::Canceled);
    assert_eq!(world.kind.under_way.load(Ordering::SeqCst), 0, "its work is gone");
    assert_eq!(world.stored(begun.id).await.unwrap().state, OperationState::Canceled);
    assert_eq!(operations.cancel(begun.id).await, Ok(canceled), "canceling twice changes nothing");
    let unknown = operations.cancel(sample_operation(9).id).await;
    assert_eq!(unknown, Err(CancelError::Unknown));
}

/// Verifies: ORCH-012
#[tokio::test(start_paused = true)]
async fn a_kind_that_cannot_stop_half_way_is_not_canceled() {
    let world = World::new(Gated { cancelable: false, ..Gated::new("model_fetch") });
    let operations = world.start().await;
    let begun = operations.begin(wish("a", "")).await.unwrap();
    let refused = operations.cancel(begun.id).await;
    assert_eq!(refused, Err(CancelError::NotCancelable { kind: "model_fetch".to_owned() }));
    world.kind.gate.add_permits(1);
    assert_eq!(operations.ended(begun.id).await.unwrap().state, OperationState::Succeeded);
}

/// Verifies: ORCH-012
#[tokio::test(start_paused = true)]
async fn what_the_last_process_left_running_is_taken_up_again() {
    let world = World::new(Gated::new("model_fetch"));
    let operations = world.start().await;
    let begun = operations.begin(wish("a", "")).await.unwrap();
    until(|| world.kind.under_way.load(Ordering::SeqCst) == 1).await;
    drop(operations);
    until(|| world.kind.under_way.load(Ordering::SeqCst) == 0).await;
    assert_eq!(world.stored(begun.id).await.unwrap().state, OperationState::Running);

    let operations = world.start().await;
    world.kind.gate.add_permits(1);
    let ended = operations.ended(begun.id).await.unwrap();
    assert_eq!(ended.state, OperationState::Succeeded);
    assert_eq!(world.kind.started.load(Ordering::SeqCst), 2);
}

/// Verifies: ORCH-012
#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_up_again_fails_at_the_next_start() {
    let world = World::new(Gated { resumable: false, ..Gated::new("model_fetch") });
    let foreign = OperationRecord { kind: "of_another_build".to_owned(), ..sample_operation(2) };
    for record in [&sample_operation(1), &foreign] {
        world.store.put(record).await.unwrap();
    }
    let operations = world.start().await;
    for id in [sample_operation(1).id, foreign.id] {
        let record = operations.get(id).unwrap();
        assert_eq!(record.state, OperationState::Failed);
        assert_eq!(record.error.as_ref().unwrap().policy_label.as_deref(), Some("interrupted"));
        assert_eq!(world.stored(id).await, Some(record), "durably");
    }
    assert_eq!(world.kind.started.load(Ordering::SeqCst), 0);
}

/// Verifies: ORCH-012
#[tokio::test(start_paused = true)]
async fn an_operation_that_cannot_be_kept_is_not_begun() {
    let world = World::new(Gated::new("model_fetch"));
    let operations = world.start().await;
    world.store.set_broken(true);
    let refused = operations.begin(wish("a", "")).await;
    assert!(matches!(refused, Err(BeginError::Store(_))), "{refused:?}");
    assert_eq!(operations.list(None, 10), []);
    world.store.set_broken(false);
    let begun = operations.begin(wish("a", "")).await.unwrap();
    // An end that cannot be kept is not shown; it comes when there is room.
    world.store.set_broken(true);
    world.kind.gate.add_permits(1);
    until(|| world.kind.under_way.load(Ordering::SeqCst) == 0).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(operations.get(begun.id).unwrap().state, OperationState::Running);
    world.store.set_broken(false);
    assert_eq!(operations.ended(begun.id).await.unwrap().state, OperationState::Succeeded);
}

/// Verifies: ORCH-012
#[tokio::test(start_paused = true)]
async fn only_so_many_run_and_old_ones_are_forgotten() {
    let world = World::new(Gated::new("model_fetch"));
    let operations = world.start().await;
    let first = operations.begin(wish("a", "")).await.unwrap();
    operations.begin(wish("b", "")).await.unwrap();
    let third = operations.begin(wish("c", "")).await;
    assert!(matches!(third, Err(BeginError::Full { limit: 2 })), "{third:?}");
    let other = operations.begin(wish("a", "other")).await;
    assert!(matches!(other, Err(BeginError::Busy { running }) if running == first.id));
    world.kind.gate.add_permits(1);
    operations.ended(first.id).await.unwrap();
    world.now_ms.store(world.options.limits.keep_ms, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(world.options.sweep_ms)).await;
    until(|| operations.get(first.id).is_none()).await;
    assert!(world.stored(first.id).await.is_none());
}
