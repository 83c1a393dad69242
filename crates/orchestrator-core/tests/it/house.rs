//! A scheduler with short names for events and actions.

use std::sync::Arc;

use orchestrator_core::{
    Action, Class, Event, Identity, Lease, Limits, ModelId, Next, Offer, Replica, Restored,
    Scheduler, TaskId, Work,
};
use placement::{Explanation, ReplicaKey, Request, Strategy, Verdict};
use uuid::Uuid;

pub(crate) fn id(number: u64) -> TaskId {
    TaskId(Uuid::from_u128(u128::from(number)))
}

pub(crate) fn model(name: &str) -> ModelId {
    ModelId(Arc::from(name))
}

/// The replica `pool.replica` of the only node.
pub(crate) fn replica_id(name: &str) -> ReplicaKey {
    let (pool, replica) = name.split_once('.').unwrap();
    ReplicaKey::new("n", pool, replica)
}

/// What a task asks for that wants no more than its model.
pub(crate) fn request(model: &str) -> Arc<Request> {
    Arc::new(Request::new(model))
}

/// In place of a decision for `replica`, where its reasons do not matter.
pub(crate) fn undecided(replica: &ReplicaKey) -> Box<Explanation> {
    Box::new(Explanation {
        verdict: Verdict::Assign { replica: replica.clone() },
        strategy: Strategy::default(),
        snapshot_version: 0,
        is_pinned: false,
        is_fallback: false,
        candidates: Vec::new(),
        omitted: 0,
    })
}

/// Actions whose decisions are replaced by [`undecided`], each of which assigned what was dispatched.
pub(crate) fn without_reasons(mut actions: Vec<Action>) -> Vec<Action> {
    for action in &mut actions {
        if let Action::Dispatch { replica, decision, .. } = action {
            assert_eq!(decision.verdict, Verdict::Assign { replica: replica.clone() });
            *decision = undecided(replica);
        }
    }
    actions
}

/// Task `number` of `ann` for model `m`, interactive, without ends; the number is the sequence too.
pub(crate) fn offer(number: u64) -> Offer {
    Offer {
        task: id(number),
        model: model("m"),
        request: request("m"),
        class: Class::Interactive,
        identity: Identity(Arc::from("ann")),
        sequence: number,
        prompt_bytes: 1,
        work: Work::default(),
        is_evictable: true,
        waiting_since_ms: 0,
        deadline_ms: None,
        queue_until_ms: u64::MAX,
    }
}

pub(crate) fn by(who: &str, number: u64) -> Offer {
    Offer { identity: Identity(Arc::from(who)), ..offer(number) }
}

pub(crate) fn of(name: &str, number: u64) -> Offer {
    Offer { model: model(name), request: request(name), ..offer(number) }
}

pub(crate) fn batch(number: u64) -> Offer {
    Offer { class: Class::Batch, ..offer(number) }
}

pub(crate) fn restored(offer: Offer) -> Restored {
    Restored { offer, requeued: false, not_before_ms: 0 }
}

pub(crate) struct House {
    pub(crate) scheduler: Scheduler,
    pub(crate) now_ms: u64,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self { scheduler: Scheduler::new(limits), now_ms: 0 }
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<Action> {
        let actions = self.scheduler.step(event, self.now_ms);
        assert_eq!(self.scheduler.check_invariants(), Ok(()));
        actions
    }

    pub(crate) fn at(&mut self, now_ms: u64) -> Vec<Action> {
        self.now_ms = now_ms;
        self.step(Event::Tick)
    }

    /// Offers and commits; what the commit leads to.
    pub(crate) fn admit(&mut self, offer: Offer) -> Vec<Action> {
        let task = offer.task;
        let answer = self.step(Event::Offered(offer));
        assert!(matches!(answer[..], [Action::Reserved { .. }]), "not reserved: {answer:?}");
        self.step(Event::Committed { task })
    }

    pub(crate) fn serve(&mut self, replica: &str, models: &[&str], slots: u32) -> Vec<Action> {
        let models: Vec<_> = models.iter().map(|name| model(name)).collect();
        let replica = Replica::new(replica_id(replica), &models, slots);
        self.step(Event::ReplicaChanged(replica))
    }

    pub(crate) fn requeue(
        &mut self,
        number: u64,
        lease: u64,
        (not_before_ms, avoid, alone): (u64, &[&str], bool),
    ) -> Vec<Action> {
        let failed_on = avoid.iter().map(|name| replica_id(name)).collect();
        let request = Arc::new(Request { failed_on, alone, ..Request::new("m") });
        let next = Next::Requeue { not_before_ms, request };
        self.step(Event::AttemptEnded { task: id(number), lease: Lease(lease), next })
    }

    pub(crate) fn release(&mut self, lease: u64) -> Vec<Action> {
        self.step(Event::LeaseReleased { lease: Lease(lease) })
    }

    /// The attempt ends and its slot is free.
    pub(crate) fn finish(&mut self, number: u64, lease: u64) -> Vec<Action> {
        let (task, lease) = (id(number), Lease(lease));
        let mut actions = self.step(Event::AttemptEnded { task, lease, next: Next::Ended });
        actions.extend(self.step(Event::LeaseReleased { lease }));
        actions
    }

    pub(crate) fn position(&self, number: u64) -> Option<u64> {
        self.scheduler.position(id(number))
    }

    /// Lets a new replica with one slot run everything that waits for `m`, one after the other; the
    /// tasks in the order of their starts.
    pub(crate) fn drain(&mut self) -> Vec<u64> {
        let mut order = Vec::new();
        let mut started = starts(&self.serve("drain.0", &["m"], 1));
        while let Some(&(number, _, lease)) = started.first() {
            order.push(number);
            started = starts(&self.finish(number, lease));
        }
        order
    }
}

/// Task, replica and lease of each dispatch.
pub(crate) fn starts(actions: &[Action]) -> Vec<(u64, String, u64)> {
    let start = |action: &Action| match action {
        Action::Dispatch { task, replica, lease, .. } => {
            Some((number_of(*task), format!("{}.{}", replica.pool, replica.replica), lease.0))
        }
        _ => None,
    };
    actions.iter().filter_map(start).collect()
}

pub(crate) fn number_of(task: TaskId) -> u64 {
    u64::try_from(task.0.as_u128()).unwrap()
}
