//! Cost of a task's way through the scheduler (offered, committed, dispatched, ended, released) with
//! many others queued.

use std::{hint::black_box, sync::Arc};

use divan::{Bencher, counter::ItemsCount};
use orchestrator_core::{
    Action, Class, Event, Identity, Limits, ModelId, Next, Offer, Replica, Scheduler,
    ServiceSample, TaskId, WhenFull, Work,
};
use placement::{ReplicaKey, Request};
use uuid::Uuid;

fn main() {
    divan::main();
}

struct Load {
    scheduler: Scheduler,
    running: (TaskId, orchestrator_core::Lease),
    admitted: u64,
    identities: Vec<Identity>,
    model: ModelId,
    request: Arc<Request>,
    actions: Vec<Action>,
}

impl Load {
    fn new(queued: u64, identities: u64) -> Self {
        Self::with(roomy(), queued, identities)
    }

    fn with(limits: Limits, queued: u64, identities: u64) -> Self {
        let model = ModelId(Arc::from("m"));
        let id = ReplicaKey::new("n", "pool", "0");
        let mut scheduler = Scheduler::new(limits);
        let replica = Replica::new(id, std::slice::from_ref(&model), 1);
        scheduler.step(Event::ReplicaChanged(replica), 0);
        let identities = (0..identities).map(|number| Identity(Arc::from(format!("i{number}"))));
        let mut load = Self {
            scheduler,
            running: (TaskId(Uuid::nil()), orchestrator_core::Lease(0)),
            admitted: 0,
            identities: identities.collect(),
            request: Arc::new(Request::new("m")),
            model,
            actions: Vec::new(),
        };
        for _ in 0..=queued {
            load.admit();
        }
        load
    }

    fn admit(&mut self) {
        self.admitted += 1;
        let number = usize::try_from(self.admitted).expect("a few million fit");
        let task = TaskId(Uuid::from_u128(u128::from(self.admitted)));
        let offer = Offer {
            task,
            model: self.model.clone(),
            request: Arc::clone(&self.request),
            class: if number.is_multiple_of(4) { Class::Batch } else { Class::Interactive },
            identity: self.identities[number % self.identities.len()].clone(),
            sequence: self.admitted,
            prompt_bytes: 1000,
            work: Work::default(),
            is_evictable: true,
            waiting_since_ms: self.admitted,
            deadline_ms: Some(1_000_000_000 + self.admitted.wrapping_mul(7919) % 1_000_000),
            queue_until_ms: u64::MAX,
        };
        self.step(Event::Offered(offer));
        self.step(Event::Committed { task });
    }

    fn step(&mut self, event: Event) {
        self.actions.clear();
        self.scheduler.step_into(event, self.admitted, &mut self.actions);
        for action in &self.actions {
            if let Action::Dispatch { task, lease, .. } = action {
                self.running = (*task, *lease);
            }
        }
    }

    /// Four events and a dispatch.
    fn turn_over(&mut self) {
        self.admit();
        let (task, lease) = self.running;
        self.step(Event::AttemptEnded { task, lease, next: Next::Ended });
        self.step(Event::LeaseReleased { lease });
    }
}

fn roomy() -> Limits {
    Limits {
        model_capacity: u64::MAX,
        total_capacity: u64::MAX,
        bytes_max: u64::MAX,
        ..Limits::default()
    }
}

/// Events a second, with this many tasks queued, of 16 identities.
#[divan::bench(args = [1_000, 100_000, 1_000_000], sample_count = 20, sample_size = 1)]
fn events(bencher: Bencher<'_, '_>, queued: u64) {
    const TURNS: u64 = 10_000;
    let mut load = Load::new(queued, 16);
    bencher.counter(ItemsCount::new(TURNS * 4)).bench_local(|| {
        for _ in 0..TURNS {
            load.turn_over();
        }
        black_box(load.scheduler.total_queued())
    });
}

/// One position, with a hundred thousand tasks queued, of this many identities.
#[divan::bench(args = [1, 16, 1_000])]
fn position(bencher: Bencher<'_, '_>, identities: u64) {
    let load = Load::new(100_000, identities);
    let last = TaskId(Uuid::from_u128(u128::from(load.admitted)));
    bencher.bench_local(|| load.scheduler.position(black_box(last)));
}

/// One position where batch has aged, with a hundred thousand tasks queued, of this many identities.
#[divan::bench(args = [1, 16, 1_000])]
fn position_where_batch_has_aged(bencher: Bencher<'_, '_>, identities: u64) {
    let mut load = Load::new(100_000, identities);
    load.scheduler.step(Event::Tick, 10_000_000);
    let last = TaskId(Uuid::from_u128(u128::from(load.admitted)));
    bencher.bench_local(|| load.scheduler.position(black_box(last)));
}

/// One prediction, with a hundred thousand tasks queued of 16 identities, and this many slots at work.
#[divan::bench(args = [1, 16, 1_000])]
fn forecast_of_slots(bencher: Bencher<'_, '_>, slots: u32) {
    forecast(bencher, 16, slots);
}

/// One prediction, with a hundred thousand tasks queued of this many identities, and 16 slots at work.
#[divan::bench(args = [1, 16, 1_000])]
fn forecast_of_identities(bencher: Bencher<'_, '_>, identities: u64) {
    forecast(bencher, identities, 16);
}

fn forecast(bencher: Bencher<'_, '_>, identities: u64, slots: u32) {
    let mut load = Load::new(100_000, identities);
    for number in 0..64 {
        let sample = ServiceSample {
            prompt_tokens: 100 + number,
            prefill_ms: 50,
            answer_tokens: 200 + 7 * number % 100,
            decode_ms: 3000 + 70 * number % 1000,
        };
        load.step(Event::Measured { model: load.model.clone(), sample });
    }
    let replica =
        Replica::new(ReplicaKey::new("n", "pool", "0"), std::slice::from_ref(&load.model), slots);
    load.step(Event::ReplicaChanged(replica));
    let last = TaskId(Uuid::from_u128(u128::from(load.admitted)));
    let now_ms = load.admitted;
    bencher.bench_local(|| load.scheduler.forecast(black_box(last), now_ms));
}

/// As [`events`], in a full queue whose every newcomer evicts a task.
#[divan::bench(args = [1_000, 1_000_000], sample_count = 20, sample_size = 1)]
fn evictions(bencher: Bencher<'_, '_>, queued: u64) {
    const TURNS: u64 = 10_000;
    let limits = Limits { model_capacity: queued, when_full: WhenFull::DropLru, ..roomy() };
    let mut load = Load::with(limits, queued, 16);
    bencher.counter(ItemsCount::new(TURNS * 2)).bench_local(|| {
        for _ in 0..TURNS {
            load.admit();
        }
        black_box(load.scheduler.total_queued())
    });
}
