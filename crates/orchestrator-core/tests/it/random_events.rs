use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use orchestrator_core::{
    Action, BACK_OFF_MS_MAX, Class, Event, Identity, Lease, Limits, ModelId, ModelLimits, Next,
    Offer, Replica, Restored, Scheduler, Slots, TaskId, WhenFull, Work,
};
use placement::{Request, Wish, WishMode};
use proptest::prelude::*;

use crate::{
    house::{id, model, replica_id, without_reasons},
    naive::{Naive, Stage},
};

const MODELS: [&str; 3] = ["a", "b", "c"];
const REPLICAS: [&str; 3] = ["x.0", "y.0", "z.0"];

/// An event in the making: picks are resolved against what is there when its turn comes.
#[derive(Debug, Clone)]
enum Op {
    Offer(Sketch),
    Commit(usize),
    Withdraw(usize),
    Restore { sketch: Sketch, requeued: bool, delay_ms: u64 },
    Replica { replica: usize, models: Vec<usize>, slots: u32, ctx_tokens: Option<u64> },
    Gone(usize),
    End { pick: usize, releases: bool },
    Requeue { pick: usize, delay_ms: u64, avoid: Vec<usize>, asks: Asks, releases: bool },
    Release(usize),
    ReleaseUnknown(u64),
    Cancel(u64),
    CommitAny(u64),
    EndAny(u64, u64),
    Unservable(usize),
    Tick,
}

/// What a task asks of its replica.
#[derive(Debug, Clone)]
struct Asks {
    alone: bool,
    ctx_tokens: Option<u64>,
    pin: Option<usize>,
}

impl Asks {
    fn request(&self, model: &str, avoid: Vec<usize>) -> Arc<Request> {
        let pin_pool = self.pin.map(|index| replica_id(REPLICAS[index]).pool);
        let mode = if pin_pool.is_some() { WishMode::Pin } else { WishMode::Auto };
        Arc::new(Request {
            alone: self.alone,
            ctx_tokens: self.ctx_tokens,
            wish: Wish { mode, pin_pool, ..Wish::default() },
            failed_on: avoid.into_iter().map(|index| replica_id(REPLICAS[index])).collect(),
            ..Request::new(model)
        })
    }
}

fn asks(alone: f64) -> impl Strategy<Value = Asks> {
    let ctx = prop::option::weighted(0.3, 1..4_u64);
    let pin = prop::option::weighted(0.2, 0..3_usize);
    (prop::bool::weighted(alone), ctx, pin).prop_map(|(alone, ctx_tokens, pin)| Asks {
        alone,
        ctx_tokens,
        pin,
    })
}

#[derive(Debug, Clone)]
struct Sketch {
    asks: Asks,
    model: usize,
    batch: bool,
    identity: usize,
    bytes: u64,
    deadline_ms: Option<u64>,
    wait_ms: Option<u64>,
}

fn sketch(alone: f64) -> impl Strategy<Value = Sketch> {
    let times = (prop::option::weighted(0.3, 0..60_u64), prop::option::weighted(0.3, 0..60_u64));
    (asks(alone), 0..3_usize, any::<bool>(), 0..3_usize, 0..5_u64, times).prop_map(
        |(asks, model, batch, identity, bytes, (deadline_ms, wait_ms))| Sketch {
            asks,
            model,
            batch,
            identity,
            bytes,
            deadline_ms,
            wait_ms,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let some = 0..64_usize;
    let delay = prop_oneof![3 => Just(0), 1 => 1..30_u64];
    let avoid = prop::collection::vec(0..3_usize, 0..3);
    let requeue = (some.clone(), delay.clone(), avoid, asks(0.25));
    let restore = (sketch(0.15), any::<bool>(), delay);
    let ctx = prop::option::of(1..4_u64);
    let replica = (0..3_usize, prop::collection::vec(0..3_usize, 0..4), 0..4_u32, ctx);
    prop_oneof![
        10 => sketch(0.0).prop_map(Op::Offer),
        10 => some.clone().prop_map(Op::Commit),
        1 => some.clone().prop_map(Op::Withdraw),
        3 => restore.prop_map(|(sketch, requeued, delay_ms)| {
            Op::Restore { sketch, requeued, delay_ms }
        }),
        3 => replica.prop_map(|(replica, models, slots, ctx_tokens)| {
            Op::Replica { replica, models, slots, ctx_tokens }
        }),
        1 => (0..3_usize).prop_map(Op::Gone),
        6 => (some.clone(), any::<bool>()).prop_map(|(pick, releases)| Op::End { pick, releases }),
        5 => (requeue, any::<bool>()).prop_map(|((pick, delay_ms, avoid, asks), releases)| {
            Op::Requeue { pick, delay_ms, avoid, asks, releases }
        }),
        6 => some.prop_map(Op::Release),
        1 => (0..40_u64).prop_map(Op::ReleaseUnknown),
        2 => (0..60_u64).prop_map(Op::Cancel),
        1 => (0..60_u64).prop_map(Op::CommitAny),
        1 => (0..60_u64, 0..40_u64).prop_map(|(task, lease)| Op::EndAny(task, lease)),
        1 => (0..3_usize).prop_map(Op::Unservable),
        2 => Just(Op::Tick),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let sizes = (1..9_u64, 0..101_u8, 1..16_u64, 1..40_u64, 0..4_u64);
    let when_full = prop_oneof![Just(WhenFull::Reject), Just(WhenFull::DropLru)];
    (sizes, 1..4_u32, 1..40_u64, when_full).prop_map(
        |(
            (model_capacity, batch_share_percent, total_capacity, bytes_max, own),
            weight,
            wait_ms,
            when_full,
        )| Limits {
            model_capacity,
            batch_share_percent,
            total_capacity,
            bytes_max,
            interactive_weight: NonZeroU32::new(weight).unwrap(),
            batch_max_wait_ms: wait_ms,
            when_full,
            objective: None,
            models: BTreeMap::from([(
                model("b"),
                ModelLimits { capacity: own, batch_share_percent: 50 },
            )]),
        },
    )
}

/// Makes events of operations, by what the naive model holds.
struct Maker {
    tasks: u64,
    now_ms: u64,
}

impl Maker {
    fn events(&mut self, op: Op, naive: &Naive) -> Vec<Event> {
        let pick = |from: Vec<TaskId>, index: usize| from.get(index % from.len().max(1)).copied();
        let reserved = || {
            let all = naive.tasks.iter();
            let reserved = all.filter(|it| matches!(it.stage, Stage::Reserved { .. }));
            reserved.map(|waiter| waiter.offer.task).collect::<Vec<_>>()
        };
        let running = |index: usize| {
            let leases = naive.tasks.iter().filter_map(|waiter| match waiter.stage {
                Stage::Running(lease) => Some((waiter.offer.task, lease)),
                _ => None,
            });
            let all: Vec<_> = leases.collect();
            all.get(index % all.len().max(1)).copied()
        };
        let end = |found: Option<(TaskId, Lease)>, next: Next, releases: bool| match found {
            None => vec![],
            Some((task, lease)) => {
                let end = Event::AttemptEnded { task, lease, next };
                if releases { vec![end, Event::LeaseReleased { lease }] } else { vec![end] }
            }
        };
        match op {
            Op::Offer(sketch) => vec![Event::Offered(self.offer(&sketch, false))],
            Op::Commit(index) => {
                let task = pick(reserved(), index);
                task.map(|task| Event::Committed { task }).into_iter().collect()
            }
            Op::Withdraw(index) => {
                let task = pick(reserved(), index);
                task.map(|task| Event::Withdrawn { task }).into_iter().collect()
            }
            Op::Restore { sketch, requeued, delay_ms } => {
                let offer = self.offer(&sketch, true);
                let not_before_ms = if delay_ms == 0 { 0 } else { self.now_ms + delay_ms };
                vec![Event::Restored(Restored { offer, requeued, not_before_ms })]
            }
            Op::Replica { replica, models, slots, ctx_tokens } => {
                let models: Vec<_> = models.into_iter().map(|index| model(MODELS[index])).collect();
                let mut change = Replica::new(replica_id(REPLICAS[replica]), &models, slots);
                for model in &mut change.replica.models {
                    model.ctx_tokens = ctx_tokens;
                }
                vec![Event::ReplicaChanged(change)]
            }
            Op::Gone(replica) => {
                vec![Event::ReplicaGone { replica: replica_id(REPLICAS[replica]) }]
            }
            Op::End { pick, releases } => end(running(pick), Next::Ended, releases),
            Op::Requeue { pick, delay_ms, avoid, asks, releases } => {
                let not_before_ms = if delay_ms == 0 { 0 } else { self.now_ms + delay_ms };
                let task = running(pick);
                let model =
                    task.and_then(|(task, _)| naive.tasks.iter().find(|it| it.offer.task == task));
                let model = model.map_or("a", |it| &*it.offer.model.0);
                let request = asks.request(model, avoid);
                end(task, Next::Requeue { not_before_ms, request }, releases)
            }
            Op::Release(index) => {
                let held = naive.leases.get(index % naive.leases.len().max(1));
                let lease = held.map(|held| Event::LeaseReleased { lease: held.lease });
                lease.into_iter().collect()
            }
            Op::ReleaseUnknown(lease) => vec![Event::LeaseReleased { lease: Lease(lease) }],
            Op::Cancel(number) => vec![Event::Canceled { task: id(number) }],
            Op::CommitAny(number) => vec![Event::Committed { task: id(number) }],
            Op::EndAny(number, lease) => {
                let (task, lease) = (id(number), Lease(lease));
                vec![Event::AttemptEnded { task, lease, next: Next::Ended }]
            }
            Op::Unservable(index) => vec![Event::ModelUnservable { model: model(MODELS[index]) }],
            Op::Tick => vec![Event::Tick],
        }
    }

    fn offer(&mut self, sketch: &Sketch, is_old: bool) -> Offer {
        self.tasks += 1;
        Offer {
            task: id(self.tasks),
            model: model(MODELS[sketch.model]),
            request: sketch.asks.request(MODELS[sketch.model], Vec::new()),
            class: if sketch.batch { Class::Batch } else { Class::Interactive },
            identity: Identity(Arc::from(format!("i{}", sketch.identity))),
            // What is found at start is older than every offer, and is told in any order.
            sequence: if is_old { 1000 - self.tasks } else { 1000 + self.tasks },
            prompt_bytes: sketch.bytes,
            work: Work { prompt_tokens: Some(sketch.bytes), ..Work::default() },
            is_evictable: sketch.bytes != 3,
            waiting_since_ms: self.now_ms.saturating_sub(if is_old { sketch.bytes * 5 } else { 0 }),
            deadline_ms: sketch.deadline_ms.map(|after_ms| self.now_ms + after_ms),
            queue_until_ms: sketch.wait_ms.map_or(u64::MAX, |after_ms| self.now_ms + after_ms),
        }
    }
}

/// Checks that back-offs are within their bounds; how long they are is tested elsewhere.
fn forget_back_offs(actions: &mut [Action]) -> Result<(), TestCaseError> {
    for action in actions {
        if let Action::Rejected { retry_after_ms, .. } = action {
            prop_assert!(
                retry_after_ms.take().is_none_or(|ms| (1..=BACK_OFF_MS_MAX).contains(&ms))
            );
        }
    }
    Ok(())
}

/// Checks that who is told to be ahead of a task is who stands before it in the order.
fn check_ahead(
    scheduler: &Scheduler,
    naive: &Naive,
    order: &[TaskId],
    task: TaskId,
) -> Result<(), TestCaseError> {
    let mut expected: BTreeMap<(Class, Option<Identity>), u64> = BTreeMap::new();
    for before in order.iter().take_while(|other| **other != task) {
        let waiter = naive.tasks.iter().find(|waiter| waiter.offer.task == *before).unwrap();
        let is_fresh = waiter.stage == Stage::Fresh;
        let identity = is_fresh.then(|| waiter.offer.identity.clone());
        *expected.entry((waiter.offer.class, identity)).or_default() += 1;
    }
    let told = scheduler.ahead(task).unwrap();
    let told: BTreeMap<_, _> =
        told.into_iter().map(|ahead| ((ahead.class, ahead.identity), ahead.tasks)).collect();
    prop_assert_eq!(told, expected);
    Ok(())
}

fn compare(scheduler: &Scheduler, naive: &Naive) -> Result<(), TestCaseError> {
    prop_assert_eq!(scheduler.check_invariants(), Ok(()));
    prop_assert_eq!(scheduler.next_wake_ms(), naive.next_wake_ms());
    let mut queued = 0;
    for name in MODELS {
        let order = naive.order(&model(name));
        queued += order.len() as u64;
        for (position, &task) in (0..).zip(&order) {
            prop_assert_eq!(scheduler.position(task), Some(position));
            check_ahead(scheduler, naive, &order, task)?;
        }
        let of = |is: &dyn Fn(&crate::naive::Waiter) -> bool| {
            let own = naive.tasks.iter().filter(|it| it.offer.model == model(name));
            own.filter(|it| is(it)).count() as u64
        };
        let depth = scheduler.depth(&model(name));
        let in_class = |class| of(&|it| it.is_queued() && it.offer.class == class);
        prop_assert_eq!(depth.interactive, in_class(Class::Interactive));
        prop_assert_eq!(depth.batch, in_class(Class::Batch));
        prop_assert_eq!(depth.reserved, of(&|it| matches!(it.stage, Stage::Reserved { .. })));
        prop_assert_eq!(depth.running, of(&|it| matches!(it.stage, Stage::Running(_))));
    }
    prop_assert_eq!(scheduler.total_queued(), queued);
    for name in REPLICAS {
        let replica = replica_id(name);
        let busy = naive.busy(&replica);
        let announced = naive.replicas.iter().find(|it| it.replica.key == replica);
        let total = announced.map_or(0, |it| it.replica.slots);
        let expected = (announced.is_some() || busy > 0).then_some(Slots { total, busy });
        prop_assert_eq!(scheduler.slots(&replica), expected);
    }
    Ok(())
}

proptest! {
    /// Verifies: ORCH-031, ORCH-041, ORCH-043, ORCH-044, ORCH-045, ORCH-047, ORCH-050, ORCH-053, ORCH-066
    #[test]
    fn the_scheduler_does_what_the_plain_rules_say(
        limits in limits(),
        ops in prop::collection::vec((op(), 0..6_u64), 1..120),
    ) {
        let mut scheduler = Scheduler::new(limits.clone());
        let mut naive = Naive::new(limits);
        let mut maker = Maker { tasks: 0, now_ms: 0 };
        for (op, later_ms) in ops {
            maker.now_ms += later_ms;
            for event in maker.events(op, &naive) {
                let mut actions = without_reasons(scheduler.step(event.clone(), maker.now_ms));
                forget_back_offs(&mut actions)?;
                let expected = naive.step(event.clone(), maker.now_ms);
                prop_assert_eq!(actions, expected, "{:?} at {}", event, maker.now_ms);
                compare(&scheduler, &naive)?;
            }
        }
    }

    /// Verifies: ORCH-042
    #[test]
    fn equal_events_give_equal_actions(
        limits in limits(),
        ops in prop::collection::vec((op(), 0..6_u64), 1..120),
    ) {
        let mut naive = Naive::new(limits.clone());
        let mut maker = Maker { tasks: 0, now_ms: 0 };
        let mut events = Vec::new();
        for (op, later_ms) in ops {
            maker.now_ms += later_ms;
            for event in maker.events(op, &naive) {
                naive.step(event.clone(), maker.now_ms);
                events.push((event, maker.now_ms));
            }
        }
        let run = || -> Vec<Vec<Action>> {
            let mut scheduler = Scheduler::new(limits.clone());
            events.iter().map(|(event, at_ms)| scheduler.step(event.clone(), *at_ms)).collect()
        };
        prop_assert_eq!(run(), run());
    }
}

/// Whatever happens, nothing is kept of tasks that ended and leases that were released.
fn is_empty(scheduler: &Scheduler) -> bool {
    let none: Vec<&ModelId> = Vec::new();
    scheduler.total_queued() == 0
        && scheduler.prompt_bytes() == 0
        && scheduler.next_wake_ms().is_none()
        && scheduler.models().collect::<Vec<_>>() == none
}

proptest! {
    /// Verifies: ORCH-037
    #[test]
    fn what_is_over_leaves_nothing_behind(
        limits in limits(),
        ops in prop::collection::vec((op(), 0..6_u64), 1..120),
    ) {
        let mut scheduler = Scheduler::new(limits.clone());
        let mut naive = Naive::new(limits);
        let mut maker = Maker { tasks: 0, now_ms: 0 };
        let mut both = |event: Event, naive: &mut Naive, now_ms| {
            naive.step(event.clone(), now_ms);
            scheduler.step(event, now_ms);
        };
        for (op, later_ms) in ops {
            maker.now_ms += later_ms;
            for event in maker.events(op, &naive) {
                both(event, &mut naive, maker.now_ms);
            }
        }
        for replica in REPLICAS {
            both(Event::ReplicaGone { replica: replica_id(replica) }, &mut naive, maker.now_ms);
        }
        for waiter in naive.tasks.clone() {
            let task = waiter.offer.task;
            both(Event::Withdrawn { task }, &mut naive, maker.now_ms);
            both(Event::Canceled { task }, &mut naive, maker.now_ms);
        }
        for held in naive.leases.clone() {
            both(Event::LeaseReleased { lease: held.lease }, &mut naive, maker.now_ms);
        }
        prop_assert!(is_empty(&scheduler), "{:?}", scheduler);
    }
}
