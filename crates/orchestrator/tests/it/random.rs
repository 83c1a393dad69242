use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use api_types::{TaskRequest, TaskState};
use futures_util::FutureExt as _;
use orchestrator::{
    AttachedPool, Delivery, EventStoreError, Options, Outcome, PoolState, Refusal, Submission,
    Subscribed, Subscription,
};
use orchestrator_core::TaskId;
use tokio::task::JoinHandle;

use crate::{
    engine::{Act, Bound, Engine},
    house::{House, keyed, stopping, submission},
    reading::{PATIENCE, Story},
};

const STEPS: usize = 250;

const TEXTS: [&str; 5] = [
    "A short one.",
    "Some 🦀 and 猫 and é, more than once: 🦀🦀猫.",
    "A longer answer that goes on and on, so that something can happen in the middle of it.",
    "one STOP two",
    "x",
];

/// Random numbers that a seed repeats (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// A task that was accepted, and what its client has of it.
struct Known {
    id: TaskId,
    expected: String,
    story: Story,
}

struct Game {
    house: House,
    dice: Dice,
    tasks: Vec<Known>,
    listeners: Vec<(usize, Subscription)>,
    keys: HashMap<String, TaskId>,
    /// The engine whose pool is taken away, and what does that.
    away: Mutex<Option<(usize, JoinHandle<()>)>>,
}

impl Game {
    async fn new(seed: u64) -> Self {
        let options = Options {
            idle_ms: 200,
            max_attempts: 20,
            cancel_grace_ms: 50,
            ring_bytes: 300,
            queue: orchestrator_core::Limits { model_capacity: 12, ..Default::default() },
            ..Options::default()
        };
        let engines = [
            Engine::new("a").replays().slots(2).gated(),
            Engine::new("b").replays().slots(1).gated(),
            Engine::new("c").strict().slots(2).gated(),
        ];
        let house = House::with_options(engines, options).await;
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self {
            house,
            dice,
            tasks: Vec::new(),
            listeners: Vec::new(),
            keys: HashMap::new(),
            away: Mutex::default(),
        }
    }

    async fn step(&mut self) {
        match self.dice.roll(40) {
            0..=9 => self.submit().await,
            10..=12 => self.cancel().await,
            13..=17 => self.listen().await,
            18..=19 if !self.listeners.is_empty() => {
                let one = self.dice.roll(self.listeners.len());
                self.listeners.swap_remove(one);
            }
            20..=27 => {
                let engine = self.dice.roll(3);
                let tokens = self.dice.roll(30);
                self.house.engine(engine).pass(tokens);
            }
            28..=30 => {
                let engine = self.dice.roll(3);
                self.house.engine(engine).die();
            }
            31..=33 => {
                let token = self.dice.roll(8);
                let acts = [
                    Act::DieAt(token),
                    Act::CloseAt(token),
                    Act::HangAt(token),
                    Act::PanicAt(token),
                    Act::Overloaded,
                    Act::Unreachable,
                    Act::Refuse,
                    Act::PanicInSubmit,
                ];
                let act = acts[self.dice.roll(acts.len())].clone();
                let engine = self.dice.roll(3);
                self.house.engine(engine).next([act]);
            }
            34 => self.house.faults.journal_full.store(true, Ordering::SeqCst),
            35 => self.house.faults.events_full.store(true, Ordering::SeqCst),
            36 => self.heal(),
            37 => {
                self.listeners.clear();
                self.give_up_removal().await;
                self.house.kill().await;
                self.mend_stores();
                self.house.start().await;
            }
            38 if self.dice.roll(2) == 0 => {
                self.mend_stores();
                let drain = Duration::from_millis(u64::try_from(self.dice.roll(20)).unwrap());
                self.house.orchestrator().shut_down(drain).await;
                self.listeners.clear();
                self.give_up_removal().await;
                self.house.restart().await;
            }
            39 => self.remove_pool(),
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
        self.read().await;
    }

    /// Takes a pool away, unless one is already; it comes back when it was closed.
    #[expect(clippy::disallowed_methods, reason = "the test joins or aborts it")]
    fn remove_pool(&mut self) {
        let index = self.dice.roll(3);
        let limit = Duration::from_millis(u64::try_from(self.dice.roll(20)).unwrap());
        let orchestrator = Arc::clone(self.house.orchestrator());
        let replica = self.house.engine(index).key.clone();
        let mut away = self.away.lock().unwrap();
        if away.is_none() {
            let removal = async move { orchestrator.remove_pool(&replica, limit).await };
            *away = Some((index, tokio::spawn(removal)));
        }
    }

    async fn give_up_removal(&self) {
        let away = self.away.lock().unwrap().take();
        if let Some((_, removal)) = away {
            removal.abort();
            drop(removal.await);
        }
    }

    async fn submit(&mut self) {
        let text = TEXTS[self.dice.roll(TEXTS.len())];
        let stops: &[&str] = if self.dice.roll(2) == 0 { &["STOP", "🦀猫"] } else { &[] };
        let max_tokens = (self.dice.roll(4) == 0).then_some(5);
        let mut request = TaskRequest { max_tokens, ..stopping(text, stops) };
        request.deadline_ms = (self.dice.roll(8) == 0).then_some(100);
        request.cancel_on_disconnect = self.dice.roll(5) == 0;
        let key = (self.dice.roll(3) == 0).then(|| self.dice.roll(6).to_string());
        let submission = match &key {
            Some(key) => keyed(key, request),
            None => submission(request),
        };
        let submission = Submission { reattach_ms: Some(20), ..submission };
        let accepted = match self.house.try_submit(submission).await {
            Ok(accepted) => accepted,
            Err(
                Refusal::QueueFull { .. } | Refusal::StorageFull | Refusal::DeadlineUnmet { .. },
            ) => return,
            Err(Refusal::IdempotencyMismatch) => {
                assert!(self.keys.contains_key(&key.unwrap()), "a key that was never bound");
                return;
            }
            Err(other) => panic!("refused: {other}"),
        };
        let id = accepted.task.id;
        let former = key.and_then(|key| self.keys.insert(key, id));
        if accepted.is_replay {
            assert_eq!(former, Some(id), "replayed another task");
            return;
        }
        if let Some(former) = former {
            let end = self.house.row(former).await.end.expect("a live task lost its key");
            let is_retriable = end.error.is_some_and(|error| error.retriable);
            assert!(is_retriable || end.data.contains("canceled"), "{}", end.data);
        }
        let expected = expected(text, stops, max_tokens);
        self.tasks.push(Known { id, expected, story: Story::default() });
    }

    async fn cancel(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let id = self.tasks[self.dice.roll(self.tasks.len())].id;
        let cancel = self.house.orchestrator().cancel(id);
        // On a full device it takes its time; the wish stays.
        match tokio::time::timeout(Duration::from_millis(50), cancel).await {
            Ok(Ok(state)) => {
                assert!(state.is_terminal());
                assert!(self.house.row(id).await.end.is_some(), "the end is not durable");
            }
            Ok(Err(Refusal::StorageFull)) | Err(_) => {}
            Ok(Err(other)) => panic!("not cancelled: {other}"),
        }
    }

    async fn listen(&mut self) {
        if self.tasks.is_empty() || self.listeners.len() > 10 {
            return;
        }
        let task = self.dice.roll(self.tasks.len());
        let Known { id, story, .. } = &self.tasks[task];
        let after = if self.dice.roll(3) == 0 { 0 } else { story.last_id() };
        match self.house.orchestrator().subscribe(*id, after).await {
            Ok(Subscribed::Stream(subscription)) => self.listeners.push((task, subscription)),
            Ok(Subscribed::NothingLeft) => assert_eq!(story.end().id, after),
            Err(Refusal::TooManyStreams { .. }) => {}
            Err(other) => panic!("cannot listen behind {after}: {other}"),
        }
    }

    /// Takes what is ready for the listeners, and holds it against what was seen before.
    async fn read(&mut self) {
        let mut listeners = std::mem::take(&mut self.listeners);
        for (task, mut listener) in listeners.drain(..) {
            let is_over = loop {
                match futures_util::poll!(std::pin::pin!(listener.next())) {
                    std::task::Poll::Pending => break false,
                    std::task::Poll::Ready(None) => break true,
                    std::task::Poll::Ready(Some(delivery)) => {
                        self.tasks[task].take(delivery);
                    }
                }
            };
            if !is_over {
                self.listeners.push((task, listener));
            }
        }
        tokio::task::yield_now().await;
    }

    fn mend_stores(&self) {
        self.house.faults.journal_full.store(false, Ordering::SeqCst);
        self.house.faults.events_full.store(false, Ordering::SeqCst);
    }

    fn heal(&self) {
        self.mend_stores();
        let mut away = self.away.lock().unwrap();
        if let Some((index, removal)) = away.as_mut()
            && let Some(removed) = removal.now_or_never()
        {
            removed.unwrap();
            let engine = self.house.engine(*index);
            let adapter = Arc::new(Bound(Arc::clone(engine)));
            let models_of = Arc::clone(&engine.key.pool_id);
            let pool = AttachedPool {
                replica: engine.key.clone(),
                adapter,
                models: None,
                models_of,
                engine: None,
                engine_version: None,
                sampler_profile: engine.profile.clone(),
                is_verified: true,
                address: Arc::from("somewhere"),
            };
            self.house.orchestrator().attach(pool, engine.facts(PoolState::Ready));
            *away = None;
        }
        let gone = away.as_ref().map(|(index, _)| *index);
        for (index, engine) in self.house.engines.iter().enumerate() {
            if gone != Some(index) {
                self.house.announce(engine, PoolState::Ready);
            }
        }
    }

    /// Ends all faults; then everything ends, once, and as it should.
    async fn finish(mut self) {
        self.heal();
        for engine in &self.house.engines {
            engine.open();
        }
        let tasks = std::mem::take(&mut self.tasks);
        for known in &tasks {
            let story = tokio::time::timeout(PATIENCE, self.settled(known.id)).await;
            let story = story.unwrap_or_else(|_elapsed| panic!("{} never ends", known.id));
            let seen = known.story.events.len();
            assert_eq!(story.events[..seen], known.story.events, "the story changed");
            self.judge(known, &story).await;
        }
        crate::reading::until("all pools are back", || {
            self.heal();
            self.away.lock().unwrap().is_none()
        })
        .await;
        self.house.idle().await;
        assert_eq!(self.house.rows().await, tasks.len(), "rows that were never accepted");
        for engine in &self.house.engines {
            let peak = u32::try_from(engine.active_max()).unwrap();
            assert!(peak <= engine.slots, "{peak} attempts in {} slots", engine.slots);
            assert_eq!(engine.active(), 0);
        }
        let mut ended: HashMap<TaskId, TaskState> = HashMap::new();
        for (task, state) in self.house.faults.moves() {
            assert_eq!(ended.get(&task), None, "a change behind the end, to {state:?}");
            if state.is_terminal() {
                ended.insert(task, state);
            }
        }
    }

    /// The whole story of a task; pools that lost their engine come back all the while.
    async fn settled(&self, task: TaskId) -> Story {
        let mut story = Story::default();
        loop {
            let mut subscription = self.house.subscribe(task, story.last_id()).await;
            loop {
                let next = tokio::time::timeout(Duration::from_millis(50), subscription.next());
                match next.await {
                    Ok(Some(delivery)) => story.push(delivery.unwrap()),
                    Ok(None) => {
                        story.check(0);
                        return story;
                    }
                    Err(_elapsed) => break self.heal(),
                }
            }
        }
    }

    async fn judge(&self, known: &Known, story: &Story) {
        let row = self.house.row(known.id).await;
        let text = story.text();
        assert!(known.expected.starts_with(&text), "`{text}` of `{}`", known.expected);
        let end = row.end.expect("an end");
        assert_eq!(end.event_id, story.end().id);
        let shown: u64 = story.tokens().map(|token| u64::from(token.n.unwrap())).sum();
        assert_eq!(end.tokens_out, Some(shown), "{end:?}");
        let open = row.progress.attempts.iter().filter(|attempt| attempt.outcome.is_none());
        assert_eq!(open.count(), 0, "an attempt without an end: {:?}", row.progress.attempts);
        if row.state == TaskState::Succeeded {
            assert_eq!(text, known.expected);
            let last = row.progress.attempts.last().unwrap().outcome;
            assert!(matches!(last, Some(Outcome::Completed | Outcome::Interrupted)), "{last:?}");
        } else {
            let reasons = [
                "none", // cancelled
                "DEADLINE_EXCEEDED",
                "ENGINE_REFUSED",
                "CONTINUATION_MISMATCH", // continuing was refused
                "INTERNAL",
                "REPLICA_EXHAUSTED",
            ];
            assert!(reasons.contains(&story.code()), "{:?}", story.end());
        }
    }
}

impl Known {
    fn take(&mut self, delivery: Result<Delivery, EventStoreError>) {
        let mut new = Story::default();
        new.push(delivery.unwrap());
        for event in new.events {
            if let Some(seen) = self.story.events.get(usize::try_from(event.id).unwrap() - 1) {
                assert_eq!(*seen, event, "an id was given twice");
            } else {
                assert_eq!(event.id, self.story.last_id() + 1, "a gap");
                self.story.events.push(event);
            }
        }
    }
}

/// What an engine's whole answer to the text is, as a client sees it.
fn expected(text: &str, stops: &[&str], max_tokens: Option<u32>) -> String {
    let tokens = max_tokens.map_or(usize::MAX / 2, |max| usize::try_from(max).unwrap());
    let answer = crate::engine::answer(text, tokens);
    let stop = stops.iter().filter_map(|stop| answer.find(stop)).min();
    answer[..stop.unwrap_or(answer.len())].to_owned()
}

async fn play(seed: u64) {
    let mut game = Game::new(seed).await;
    for _ in 0..STEPS {
        game.step().await;
    }
    game.listeners.clear();
    game.finish().await;
}

/// Verifies: ORCH-053, ORCH-061, ORCH-072, ORCH-073, ORCH-092, ORCH-100, ORCH-104, ORCH-285
#[tokio::test]
async fn whatever_happens_every_task_ends_once_with_one_true_story() {
    for seed in 1..=6 {
        play(seed).await;
    }
}

/// Verifies: ORCH-053, ORCH-061, ORCH-072, ORCH-073, ORCH-092, ORCH-100, ORCH-104, ORCH-285
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_happens_at_once_every_task_ends_once_with_one_true_story() {
    for seed in 101..=106 {
        play(seed).await;
    }
}
