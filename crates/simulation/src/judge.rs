mod admission;
mod objective;
mod order;
mod positions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use orchestrator_core::{
    Action, Class, EndedBy, Event, Identity, Lease, Limits, ModelId, Next, Offer, Scheduler,
};

use crate::{
    names::{Names, task_number},
    violation::{Violation, ensure},
};
use objective::Waits;
use order::Lane;
use placement::{Explanation, ReplicaKey, Verdict, WishMode};

/// Watches what goes into the scheduler and what comes out, keeps an account of its own, and says where
/// the two do not agree or a promise is broken. It knows nothing of how the scheduler decides.
#[derive(Debug)]
pub(crate) struct Judge {
    limits: Limits,
    names: Names,
    now_ms: u64,
    tasks: BTreeMap<u32, Known>,
    leases: BTreeMap<Lease, Holder>,
    last_lease: u64,
    replicas: BTreeMap<usize, Open>,
    lanes: BTreeMap<(u8, Class), Lane>,
    /// Contended dispatches to interactive since the last one to batch, by model; `None` where it cannot
    /// be told.
    streaks: BTreeMap<u8, Option<u32>>,
    /// How long interactive tasks waited, by model.
    waits: BTreeMap<u8, Waits>,
    /// Queued tasks that want a replica to themselves and may start.
    alone_ready: u64,
    steps: u64,
    unchecked_steps: usize,
    /// Tasks whose position was held against a start.
    pub(crate) positions_tried: u64,
}

/// What the judge knows of a task that the scheduler has.
#[derive(Debug, Clone)]
struct Known {
    offer: Offer,
    model: u8,
    place: Place,
    since_ms: u64,
    avoid: Vec<usize>,
    alone: bool,
    wants_cancel: bool,
    /// It had an attempt, now or in an earlier life of the daemon.
    has_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Reserved,
    /// Makes room for a newcomer that is not durable yet.
    Evicting {
        newcomer: u32,
    },
    Fresh,
    Again,
    Delayed(u64),
    Running(Lease),
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    replica: usize,
    task: Option<u32>,
    alone: bool,
}

#[derive(Debug, Clone, Default)]
struct Open {
    models: Vec<u8>,
    slots: u32,
}

impl Known {
    fn is_queued(&self) -> bool {
        matches!(self.place, Place::Fresh | Place::Again | Place::Delayed(_))
    }

    fn lane(&self) -> (u8, Class) {
        (self.model, self.offer.class)
    }
}

impl Judge {
    pub(crate) fn new(limits: Limits, names: Names) -> Self {
        Self {
            limits,
            names,
            now_ms: 0,
            tasks: BTreeMap::new(),
            leases: BTreeMap::new(),
            last_lease: 0,
            replicas: BTreeMap::new(),
            lanes: BTreeMap::new(),
            streaks: BTreeMap::new(),
            waits: BTreeMap::new(),
            alone_ready: 0,
            steps: 0,
            unchecked_steps: 0,
            positions_tried: 0,
        }
    }

    /// Other bounds hold from the next step on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        if self.limits.objective != limits.objective {
            self.waits.clear();
        }
        let weight = limits.interactive_weight.get();
        for streak in self.streaks.values_mut().flatten() {
            *streak = weight.min(*streak);
        }
        self.limits = limits;
    }

    /// Takes in one step: what the scheduler was told, and what it wants done.
    pub(crate) fn watch(
        &mut self,
        event: &Event,
        actions: &[Action],
        now_ms: u64,
        scheduler: &Scheduler,
    ) -> Result<(), Violation> {
        self.now_ms = self.now_ms.max(now_ms);
        self.steps += 1;
        self.take_event(event)?;
        self.wake();
        for action in actions {
            self.take_action(event, action)?;
        }
        self.check_ends()?;
        self.check_nobody_waits()?;
        self.check_counts(scheduler)?;
        self.unchecked_steps += 1;
        if self.unchecked_steps > self.tasks.len() / 2 {
            self.unchecked_steps = 0;
            let broken = |it: orchestrator_core::Violation| Violation::new(it.number, it.what);
            scheduler.check_invariants().map_err(broken)?;
        }
        if self.steps.is_multiple_of(509) {
            self.check_positions(scheduler)?;
        }
        Ok(())
    }

    /// Whether the scheduler should have nothing any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.leases.is_empty()
    }

    /// Nothing may be left once nothing is to be done.
    pub(crate) fn check_empty(&self, scheduler: &Scheduler) -> Result<(), Violation> {
        ensure(self.tasks.is_empty(), 1, || format!("{} tasks are left over", self.tasks.len()))?;
        ensure(self.leases.is_empty(), 6, || {
            format!("{} slots are never given back", self.leases.len())
        })?;
        ensure(scheduler.prompt_bytes() == 0, 1, || "bytes of prompts are left over".to_owned())?;
        let refused = scheduler.refused_events() + scheduler.unknown_releases();
        ensure(refused == 0, 6, || format!("{refused} events named what was not there"))
    }

    fn take_event(&mut self, event: &Event) -> Result<(), Violation> {
        match event {
            Event::Committed { task } => {
                let task = task_number(*task);
                let known = self.known(task)?;
                ensure(known.place == Place::Reserved, 1, || {
                    format!("task {task} committed twice")
                })?;
                self.enqueue(task, Place::Fresh);
                self.tasks.retain(|_, it| it.place != Place::Evicting { newcomer: task });
            }
            Event::Withdrawn { task } => {
                let task = task_number(*task);
                self.tasks.remove(&task);
                for victim in self.victims_of(task) {
                    self.enqueue(victim, Place::Fresh);
                }
            }
            Event::Restored(restored) => {
                let task = task_number(restored.offer.task);
                ensure(!self.tasks.contains_key(&task), 1, || {
                    format!("task {task} is restored twice")
                })?;
                let not_before_ms = restored.not_before_ms;
                let waits = not_before_ms > self.now_ms;
                let ran = restored.requeued || restored.offer.request.alone || waits;
                let mut known = self.new_task(&restored.offer);
                known.alone = restored.offer.request.alone;
                known.has_run = ran;
                self.tasks.insert(task, known);
                let place = if waits { Place::Delayed(not_before_ms) } else { Place::Again };
                self.enqueue(task, if ran { place } else { Place::Fresh });
            }
            Event::ReplicaChanged(replica) => {
                let replica = &replica.replica;
                let models = replica.models.iter().map(|it| ModelId(Arc::clone(&it.model)));
                let models = models.map(|it| self.names.model_number(&it)).collect();
                let open = Open { models, slots: replica.slots };
                self.replicas.insert(self.names.replica_number(&replica.key), open);
            }
            Event::ReplicaGone { replica } => {
                self.replicas.remove(&self.names.replica_number(replica));
            }
            Event::AttemptEnded { task, lease, next } => {
                self.end_attempt(task_number(*task), *lease, next)
            }
            Event::LeaseReleased { lease } => {
                let known = self.leases.remove(lease).is_some();
                ensure(known, 6, || format!("lease {} is given back twice", lease.0))?;
            }
            Event::Canceled { task } => {
                if let Some(known) = self.tasks.get_mut(&task_number(*task)) {
                    known.wants_cancel = true;
                }
            }
            // What others are told changes nothing of whose turn it is.
            _ => {}
        }
        Ok(())
    }

    fn take_action(&mut self, event: &Event, action: &Action) -> Result<(), Violation> {
        match action {
            Action::Reserved { task, victims, .. } => {
                let offer = offered(event, *task)?;
                self.check_objective(offer, None)?;
                let victims: Vec<u32> = victims.iter().map(|it| task_number(*it)).collect();
                self.reserve(offer, &victims)
            }
            Action::Rejected { task, limit, .. } => {
                let offer = offered(event, *task)?;
                self.check_objective(offer, Some(*limit))?;
                self.check_refusal(offer, *limit)
            }
            Action::Dispatch { task, replica, lease, decision, .. } => {
                self.dispatch(task_number(*task), replica, *lease, decision)
            }
            Action::Ended { task, by, lease } => self.end(task_number(*task), *by, *lease),
        }
    }

    fn new_task(&self, offer: &Offer) -> Known {
        Known {
            model: self.names.model_number(&offer.model),
            since_ms: offer.waiting_since_ms,
            offer: offer.clone(),
            place: Place::Reserved,
            avoid: Vec::new(),
            alone: false,
            wants_cancel: false,
            has_run: false,
        }
    }

    fn victims_of(&self, newcomer: u32) -> Vec<u32> {
        let place = Place::Evicting { newcomer };
        let victims = self.tasks.iter().filter(|(_, known)| known.place == place);
        victims.map(|(task, _)| *task).collect()
    }

    fn known(&self, task: u32) -> Result<&Known, Violation> {
        self.tasks.get(&task).ok_or_else(|| Violation::new(1, format!("task {task} is not known")))
    }

    fn end_attempt(&mut self, task: u32, lease: Lease, next: &Next) {
        let Some(known) = self.tasks.get_mut(&task) else { return };
        if known.place != Place::Running(lease) {
            return;
        }
        if let Some(holder) = self.leases.get_mut(&lease) {
            holder.task = None;
        }
        match next {
            Next::Ended => {
                self.tasks.remove(&task);
            }
            Next::Requeue { not_before_ms, request } => {
                let failed_on = request.failed_on.iter();
                known.avoid = failed_on.map(|it| self.names.replica_number(it)).collect();
                known.alone = request.alone;
                known.since_ms = self.now_ms;
                let waits = *not_before_ms > self.now_ms;
                self.enqueue(
                    task,
                    if waits { Place::Delayed(*not_before_ms) } else { Place::Again },
                );
            }
        }
    }

    fn end(&mut self, task: u32, by: EndedBy, lease: Option<Lease>) -> Result<(), Violation> {
        let known = self.known(task)?.clone();
        let (now_ms, offer) = (self.now_ms, &known.offer);
        let is_due = match by {
            EndedBy::Deadline => offer.deadline_ms.is_some_and(|at_ms| at_ms <= now_ms),
            EndedBy::QueueTimeout => known.is_queued() && offer.queue_until_ms <= now_ms,
            EndedBy::Cancel => known.wants_cancel,
            EndedBy::Unservable => known.is_queued(),
        };
        ensure(is_due, 2, || format!("task {task} is ended by {by:?} without cause"))?;
        match (known.place, lease) {
            (Place::Running(held), Some(lease)) if held == lease => {
                self.leases.entry(lease).and_modify(|holder| holder.task = None);
            }
            (Place::Fresh | Place::Again | Place::Delayed(_), None) => self.dequeue(task),
            _ => {
                return Err(Violation::new(6, format!("the lease of task {task} is mistaken")));
            }
        }
        self.tasks.remove(&task);
        Ok(())
    }

    fn dispatch(
        &mut self,
        task: u32,
        replica: &ReplicaKey,
        lease: Lease,
        decision: &Explanation,
    ) -> Result<(), Violation> {
        let known = self.known(task)?.clone();
        ensure(matches!(known.place, Place::Fresh | Place::Again), 6, || {
            format!("task {task} is dispatched while it is {:?}", known.place)
        })?;
        self.check_decision(task, replica, decision)?;
        let replica = self.names.replica_number(replica);
        ensure(lease.0 > self.last_lease, 6, || format!("lease {} is given twice", lease.0))?;
        self.last_lease = lease.0;
        let is_past = known.offer.deadline_ms.is_some_and(|at_ms| at_ms <= self.now_ms);
        ensure(!is_past, 2, || format!("task {task} starts past its deadline"))?;
        ensure(self.has_slot(replica, known.model), 6, || {
            format!("task {task} is dispatched to replica {replica}, which has no slot for it")
        })?;
        let is_idle = self.busy(replica) == 0;
        ensure(is_idle || !known.alone, 6, || format!("task {task} does not run alone"))?;
        let avoids = self.avoids(&known, replica);
        ensure(!avoids, 9, || format!("task {task} runs on replica {replica}, which failed it"))?;
        ensure(self.allows(&known, replica), 9, || {
            format!("task {task} runs on replica {replica} against its wish")
        })?;
        self.check_order(task, &known, replica)?;
        self.note_start(&known);
        self.dequeue(task);
        let holder = Holder { replica, task: Some(task), alone: known.alone };
        self.leases.insert(lease, holder);
        let known = self.known_mut(task);
        known.place = Place::Running(lease);
        known.has_run = true;
        Ok(())
    }

    /// The decision is that for this replica, and tells of each one there is whether it could take the task.
    fn check_decision(
        &self,
        task: u32,
        replica: &ReplicaKey,
        decision: &Explanation,
    ) -> Result<(), Violation> {
        let known = self.known(task)?;
        let is_of_it = decision.verdict == Verdict::Assign { replica: replica.clone() };
        ensure(is_of_it, 6, || {
            format!("task {task} goes to {replica} by a decision for {:?}", decision.verdict)
        })?;
        let listed = decision.candidates.iter().map(|one| {
            let name = one.replica.clone().expect("every pool here has its replica");
            let key = ReplicaKey::new(Arc::clone(&one.node), Arc::clone(&one.pool), name);
            (self.names.replica_number(&key), one.failed)
        });
        let listed: BTreeMap<_, _> = listed.collect();
        ensure(listed.keys().eq(self.replicas.keys()), 6, || {
            format!("the decision for task {task} tells of {:?} only", listed.keys())
        })?;
        for (replica, failed) in listed {
            let can = self.takes(known, replica);
            // Some are kept empty for tasks that run alone, which others may prefer.
            let is_blurred = can || known.offer.request.wish.mode == WishMode::Prefer;
            let is_true = can == failed.is_empty() || (is_blurred && self.alone_ready > 0);
            ensure(is_true, 6, || {
                format!("task {task} is told that replica {replica} fails {failed:?}")
            })?;
        }
        Ok(())
    }

    fn known_mut(&mut self, task: u32) -> &mut Known {
        self.tasks.get_mut(&task).expect("it was looked up before")
    }

    fn busy(&self, replica: usize) -> u32 {
        self.leases.values().fold(0, |sum, holder| sum + u32::from(holder.replica == replica))
    }

    fn has_slot(&self, replica: usize, model: u8) -> bool {
        let kept = self.leases.values().any(|holder| holder.replica == replica && holder.alone);
        self.replicas.get(&replica).is_some_and(|open| {
            open.models.contains(&model) && self.busy(replica) < open.slots && !kept
        })
    }

    /// Whether the task is to go elsewhere, and there is an elsewhere.
    fn avoids(&self, known: &Known, replica: usize) -> bool {
        let mut open = self
            .replicas
            .iter()
            .filter(|(_, open)| open.slots > 0 && open.models.contains(&known.model));
        known.avoid.contains(&replica)
            && open.any(|(other, _)| !known.avoid.contains(other) && self.allows(known, *other))
    }

    /// Whether the task may ever go there by its own wish.
    fn allows(&self, known: &Known, replica: usize) -> bool {
        let wish = &known.offer.request.wish;
        let pool = self.names.pool(replica);
        wish.pin_pool.as_ref().is_none_or(|pin| pin == pool)
            && !wish.avoid_pools.contains(pool)
            && (!wish.no_fallback || wish.prefer_pools.contains(pool))
    }

    /// Whether the task could start there now, if it preferred nothing.
    fn could_take(&self, known: &Known, replica: usize) -> bool {
        self.has_slot(replica, known.model)
            && !self.avoids(known, replica)
            && self.allows(known, replica)
            && (!known.alone || self.busy(replica) == 0)
    }

    /// Whether the task would start there now.
    fn takes(&self, known: &Known, replica: usize) -> bool {
        let wish = &known.offer.request.wish;
        let prefers = |one: usize| wish.prefer_pools.contains(self.names.pool(one));
        let mut others = self.replicas.keys();
        self.could_take(known, replica)
            && (wish.mode != WishMode::Prefer
                || prefers(replica)
                || !others.any(|other| prefers(*other) && self.could_take(known, *other)))
    }

    /// No task is past its end and still queued.
    fn check_ends(&self) -> Result<(), Violation> {
        for (task, known) in &self.tasks {
            if !matches!(known.place, Place::Reserved | Place::Evicting { .. }) {
                let is_late = known.offer.deadline_ms.is_some_and(|at_ms| at_ms <= self.now_ms);
                ensure(!is_late, 2, || format!("task {task} is past its deadline and goes on"))?;
            }
            if known.is_queued() {
                let is_late = known.offer.queue_until_ms <= self.now_ms;
                ensure(!is_late, 2, || format!("task {task} waits for longer than it may"))?;
            }
        }
        Ok(())
    }

    /// No task waits beside a slot that it could use.
    fn check_nobody_waits(&self) -> Result<(), Violation> {
        if self.alone_ready > 0 {
            return Ok(()); // replicas are kept empty for them
        }
        for ((model, _class), lane) in &self.lanes {
            let free: Vec<usize> = self
                .replicas
                .keys()
                .copied()
                .filter(|replica| self.has_slot(*replica, *model))
                .collect();
            if free.is_empty() {
                continue;
            }
            let mut waiting = lane.ready();
            let idle = waiting
                .find(|task| free.iter().any(|replica| self.takes(&self.tasks[task], *replica)));
            if let Some(task) = idle {
                return Err(Violation::new(9, format!("task {task} waits beside a free slot")));
            }
        }
        Ok(())
    }

    fn check_counts(&self, scheduler: &Scheduler) -> Result<(), Violation> {
        let queued: u64 = self.lanes.values().map(Lane::queued).sum();
        let counted = scheduler.total_queued();
        ensure(queued == counted, 1, || {
            format!("{counted} tasks are counted as queued, not {queued}")
        })?;
        for (number, model) in self.names.models() {
            let depth = scheduler.depth(model);
            let of = |class| self.lanes.get(&(number, class)).map_or(0, Lane::queued);
            let found = (of(Class::Interactive), of(Class::Batch));
            ensure((depth.interactive, depth.batch) == found, 1, || {
                format!("the queue of model {number} is {depth:?}, not {found:?}")
            })?;
        }
        for replica in self.replicas.keys() {
            let busy = self.busy(*replica);
            let counted = scheduler.slots(&self.names.replica(*replica)).unwrap_or_default().busy;
            ensure(busy == counted, 6, || {
                format!("{counted} slots of replica {replica} are counted as busy, not {busy}")
            })?;
        }
        Ok(())
    }

    fn enqueue(&mut self, task: u32, place: Place) {
        let known = self.tasks.get_mut(&task).expect("it is known");
        known.place = place;
        let lane = self.lanes.entry(known.lane()).or_default();
        let (sequence, identity) = (known.offer.sequence, &known.offer.identity);
        match place {
            Place::Fresh => lane.push_fresh(task, sequence, identity, known.since_ms),
            Place::Again => {
                lane.push_again(task, sequence, known.since_ms);
                self.alone_ready += u64::from(known.alone);
            }
            Place::Delayed(at_ms) => lane.push_delayed(task, sequence, at_ms),
            Place::Reserved | Place::Evicting { .. } | Place::Running(_) => {}
        }
    }

    fn dequeue(&mut self, task: u32) {
        let known = &self.tasks[&task];
        let lane = self.lanes.get_mut(&known.lane()).expect("it was queued there");
        let (sequence, identity) = (known.offer.sequence, &known.offer.identity);
        match known.place {
            Place::Fresh => lane.remove_fresh(task, sequence, identity, known.since_ms),
            Place::Again => {
                lane.remove_again(task, sequence, known.since_ms);
                self.alone_ready -= u64::from(known.alone);
            }
            Place::Delayed(at_ms) => lane.remove_delayed(task, sequence, at_ms),
            Place::Reserved | Place::Evicting { .. } | Place::Running(_) => {}
        }
    }

    /// Those whose delay is over may start.
    fn wake(&mut self) {
        let now_ms = self.now_ms;
        let due: Vec<u32> = self.lanes.values().flat_map(|lane| lane.due(now_ms)).collect();
        for task in due {
            self.dequeue(task);
            self.enqueue(task, Place::Again);
        }
    }
}

fn offered(event: &Event, task: orchestrator_core::TaskId) -> Result<&Offer, Violation> {
    match event {
        Event::Offered(offer) if offer.task == task => Ok(offer),
        _ => Err(Violation::new(1, format!("task {} was never offered", task_number(task)))),
    }
}

/// Identities that wait, by name.
type Waiting = BTreeMap<Identity, BTreeSet<(u64, u32)>>;
