use std::sync::Arc;

use adapter_host::AdapterHost;
use api_types::{SamplingRequest, TaskRequest, TaskState};
use camino::Utf8Path;
use camino_tempfile::Utf8TempDir;
use event_log::{LogOptions, SegmentLog};
use orchestrator::{
    Accepted, EventStore, Options, Orchestrator, Parts, PoolState, Refusal, Submission, Subscribed,
    Subscription, TaskRow,
};
use orchestrator_core::TaskId;
use store_sqlite::{SqliteOptions, SqliteStore};

use crate::{
    engine::{Bound, Engine},
    faults::{Faults, FaultyEvents, FaultyJournal},
    model::{Bytewise, Models, TestClock},
    reading::{Story, read_all, read_to, until},
    spans::Told,
};

/// An orchestrator over the real stores in a directory of its own, which can be killed and started again.
pub(crate) struct House {
    dir: Utf8TempDir,
    pub(crate) options: Options,
    pub(crate) segment_bytes: u64,
    pub(crate) engines: Vec<Arc<Engine>>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) spans: Arc<Told>,
    boots: u64,
    running: Option<Running>,
}

struct Running {
    orchestrator: Arc<Orchestrator>,
    journal: Arc<SqliteStore>,
    events: Arc<SegmentLog>,
}

impl House {
    /// With ready engines.
    pub(crate) async fn with(engines: impl IntoIterator<Item = Engine>) -> Self {
        Self::with_options(engines, Options::default()).await
    }

    pub(crate) async fn with_options(
        engines: impl IntoIterator<Item = Engine>,
        options: Options,
    ) -> Self {
        let mut house = Self {
            dir: camino_tempfile::tempdir().unwrap(),
            options,
            segment_bytes: LogOptions::default().segment_bytes,
            engines: engines.into_iter().map(Arc::new).collect(),
            clock: Arc::new(TestClock::of_boot(1)),
            faults: Arc::default(),
            spans: Arc::default(),
            boots: 1,
            running: None,
        };
        house.start().await;
        house
    }

    /// Starts on what is in the directory, and announces all engines.
    pub(crate) async fn start(&mut self) {
        self.start_without_engines().await;
        for engine in &self.engines {
            self.announce(engine, PoolState::Ready);
        }
    }

    /// Starts on what is in the directory.
    pub(crate) async fn start_without_engines(&mut self) {
        assert!(self.running.is_none(), "the house runs");
        let path = self.dir.path();
        let journal = SqliteStore::open(&path.join("store.sqlite"), SqliteOptions::default());
        let journal = Arc::new(journal.unwrap());
        let log_options = LogOptions { segment_bytes: self.segment_bytes, ..LogOptions::default() };
        let events = SegmentLog::open(&path.join("events"), log_options);
        let events = Arc::new(events.unwrap());
        let host = AdapterHost::default();
        for engine in &self.engines {
            host.bind(engine.key.clone(), Arc::new(Bound(Arc::clone(engine))));
        }
        let parts = Parts {
            observer: Arc::new(()),
            spans: Arc::clone(&self.spans) as _,
            options: self.options.clone(),
            clock: Arc::clone(&self.clock) as _,
            journal: Arc::new(FaultyJournal(Arc::clone(&journal), Arc::clone(&self.faults))),
            events: Arc::new(FaultyEvents(Arc::clone(&events), Arc::clone(&self.faults))),
            models: Arc::new(Models),
            meter: Arc::new(Bytewise),
            host,
        };
        let orchestrator = Arc::new(Orchestrator::start(parts).await.unwrap());
        self.running = Some(Running { orchestrator, journal, events });
    }

    /// Ends everything above the operating system without a word, as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        let Running { orchestrator, journal, events } = self.running.take().unwrap();
        let others = Arc::strong_count(&orchestrator) - 1;
        assert_eq!(others, 0, "somebody still holds the orchestrator");
        drop(orchestrator);
        // What it spawned is dropped by the runtime, and the stores with it.
        until("the stores are free", || {
            Arc::strong_count(&journal) == 1 && Arc::strong_count(&events) == 1
        })
        .await;
    }

    /// Kills it, and starts it again on the same directory.
    pub(crate) async fn restart(&mut self) {
        self.kill().await;
        self.start().await;
    }

    /// The machine loses power and boots again.
    pub(crate) async fn kill_with_power(&mut self) {
        self.kill().await;
        self.boots += 1;
        self.clock = Arc::new(TestClock::of_boot(self.boots));
    }

    /// The folder of both stores.
    pub(crate) fn path(&self) -> &Utf8Path {
        self.dir.path()
    }

    /// Sizes of the event log's segments by their numbers.
    pub(crate) fn segments(&self) -> Vec<(u64, u64)> {
        let events = &self.running.as_ref().expect("the house runs").events;
        let segments = events.segments().unwrap();
        segments.iter().map(|segment| (segment.number, segment.len_bytes)).collect()
    }

    pub(crate) fn announce(&self, engine: &Engine, state: PoolState) {
        self.orchestrator().put_pool(engine.facts(state));
    }

    pub(crate) fn orchestrator(&self) -> &Arc<Orchestrator> {
        &self.running.as_ref().expect("the house runs").orchestrator
    }

    pub(crate) fn engine(&self, index: usize) -> &Arc<Engine> {
        &self.engines[index]
    }

    pub(crate) async fn submit(&self, request: TaskRequest) -> TaskId {
        self.try_submit(submission(request)).await.unwrap().task.id
    }

    pub(crate) async fn try_submit(&self, submission: Submission) -> Result<Accepted, Refusal> {
        self.orchestrator().submit(submission).await
    }

    pub(crate) async fn subscribe(&self, task: TaskId, after: u64) -> Subscription {
        match self.orchestrator().subscribe(task, after).await.unwrap() {
            Subscribed::Stream(subscription) => subscription,
            Subscribed::NothingLeft => panic!("nothing left behind {after}"),
        }
    }

    /// Everything of a task, up to its end.
    pub(crate) async fn story(&self, task: TaskId) -> Story {
        let story = read_all(&mut self.subscribe(task, 0).await).await;
        story.check(0);
        story.end();
        story
    }

    /// Waits until the task has shown the event.
    pub(crate) async fn shown(&self, task: TaskId, id: u64) -> Story {
        read_to(&mut self.subscribe(task, 0).await, id).await
    }

    pub(crate) async fn row(&self, task: TaskId) -> TaskRow {
        self.orchestrator().task(task).await.unwrap().0
    }

    pub(crate) async fn state(&self, task: TaskId) -> TaskState {
        self.row(task).await.state
    }

    pub(crate) async fn position(&self, task: TaskId) -> Option<u64> {
        self.orchestrator().task(task).await.unwrap().1.map(|place| place.position)
    }

    /// Waits for a state.
    pub(crate) async fn reaches(&self, task: TaskId, state: TaskState) {
        for _ in 0..10_000 {
            if self.state(task).await == state {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        panic!("never reached {state:?}, is {:?}", self.row(task).await);
    }

    /// Tasks that have a row, whatever their state.
    pub(crate) async fn rows(&self) -> usize {
        self.orchestrator()
            .tasks(orchestrator::TaskFilter::default(), None, 1000)
            .await
            .unwrap()
            .len()
    }

    /// Slots of the pool as the operator sees them: free, total.
    pub(crate) fn slots(&self, index: usize) -> (u32, u32) {
        let standing = self.orchestrator().standing();
        let pool_id = &*self.engine(index).key.pool_id;
        let pool = standing.pools.iter().find(|pool| pool.pool_id == pool_id).unwrap();
        (pool.slots_free, pool.slots_total)
    }

    /// Waits until nothing holds a slot.
    pub(crate) async fn idle(&self) {
        until("all slots are free", || {
            (0..self.engines.len()).all(|index| {
                let (free, total) = self.slots(index);
                free == total
            })
        })
        .await;
    }
}

/// Asks for `prompt`, which engines say back.
pub(crate) fn prompt(prompt: &str) -> TaskRequest {
    TaskRequest { prompt: Some(prompt.to_owned()), ..TaskRequest::default() }
}

/// As [`prompt`], of the model that has no tokenizer here.
pub(crate) fn remote(text: &str) -> TaskRequest {
    TaskRequest { model_ref: Some("remote".to_owned()), ..prompt(text) }
}

/// As [`prompt`], with stop strings.
pub(crate) fn stopping(text: &str, stops: &[&str]) -> TaskRequest {
    let stop = stops.iter().map(|&stop| stop.to_owned()).collect();
    TaskRequest { sampling: SamplingRequest { stop, ..SamplingRequest::default() }, ..prompt(text) }
}

pub(crate) fn submission(request: TaskRequest) -> Submission {
    Submission {
        request,
        identity: "localhost".into(),
        correlation_id: "corr".to_owned(),
        traceparent: None,
        parent_span: None,
        route: "/v2/tasks",
        idempotency_key: None,
        reattach_ms: None,
    }
}

pub(crate) fn keyed(key: &str, request: TaskRequest) -> Submission {
    Submission { idempotency_key: Some(key.into()), ..submission(request) }
}
