mod dispatch;
mod eviction;
mod forecasting;
mod invariants;
mod query;
mod shedding;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use placement::{ReplicaKey, Request};

use crate::{
    Action, Class, EndedBy, Event, Lease, Limits, ModelId, ModelLimits, Next, Offer, QueueLimit,
    Replica, Restored, Strategies, TaskId, WhenFull,
    experience::Learned,
    id_hash::IdHash,
    lane::Backlog,
    model_queue::{Ages, ModelQueue},
    order_tree::Forest,
    rate::Rate,
    replica_table::{ReplicaSlots, ReplicaTable},
    slab::{Key, Slab},
    task::{PackedWork, Place, Task},
    timers::Timers,
    wait_watch::WaitWatch,
    wanting::is_same,
};

use dispatch::CANDIDATES_MAX;
pub use eviction::BACK_OFF_MS_MAX;
pub use invariants::Violation;
pub use query::{Depth, Slots};

/// Admission, queues, deadlines and the choice of what runs next, as one state machine.
///
/// Order within a model and class: re-queued tasks by sequence, then identities in rotation, each
/// identity's tasks by sequence. Between the classes of a model that both wait for a slot, batch gets one
/// of every `interactive_weight + 1`, and one of every two while its oldest task has waited for
/// `batch_max_wait_ms`. Between models that share slots, turns: a model takes its turn
/// behind the others when its queue stops being empty and after each of its tasks that starts. A task
/// that cannot be placed keeps its place, and what it could use itself is never given to a later one.
///
/// Once nothing else is to be done for a task it is forgotten; a lease is kept until its release.
#[derive(Debug, Clone)]
pub struct Scheduler {
    limits: Limits,
    strategies: Strategies,
    forest: Forest,
    tasks: Slab<Task>,
    /// Never iterated.
    by_id: HashMap<TaskId, Key<Task>, IdHash>,
    models: Slab<ModelQueue>,
    model_by_id: BTreeMap<ModelId, Key<ModelQueue>>,
    table: ReplicaTable,
    /// Of each task the next instant at which something happens to it.
    timers: Timers,
    queued: u64,
    reserved: u64,
    /// Of queued and reserved tasks.
    prompt_bytes: u64,
    /// Over all models, see [`ModelQueue::alone_ready`].
    alone_ready: u64,
    /// Tasks that gave up their places, by the reserved task that has them.
    evictions: BTreeMap<Key<Task>, Vec<Key<Task>>>,
    /// Tasks of all models that leave the queue.
    drain: Rate,
    /// What was learned of models that ran; it stays while nothing of them is queued or served.
    learned: BTreeMap<ModelId, Learned>,
    /// Attempts and waits that something was learned of.
    lessons: u64,
    next_turn: u64,
    now_ms: u64,
    unknown_releases: u64,
    refused_events: u64,
    /// Models for which something changed in this step.
    touched: Vec<Key<ModelQueue>>,
    /// Steps since the invariants were last checked, in builds with debug assertions.
    unchecked_steps: usize,
}

impl Scheduler {
    /// Without tasks and replicas.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            strategies: Strategies::default(),
            forest: Forest::default(),
            tasks: Slab::new(),
            by_id: HashMap::default(),
            models: Slab::new(),
            model_by_id: BTreeMap::new(),
            table: ReplicaTable::new(),
            timers: Timers::default(),
            queued: 0,
            reserved: 0,
            prompt_bytes: 0,
            alone_ready: 0,
            evictions: BTreeMap::new(),
            drain: Rate::default(),
            learned: BTreeMap::new(),
            lessons: 0,
            next_turn: 0,
            now_ms: 0,
            unknown_releases: 0,
            refused_events: 0,
            touched: Vec::new(),
            unchecked_steps: 0,
        }
    }

    /// Lets other bounds and shares hold from the next step on. What holds a place keeps it, also where that
    /// is more than the bounds would let in now.
    pub fn set_limits(&mut self, limits: Limits) {
        let changes_victims = self.limits.when_full != limits.when_full;
        if self.limits.objective != limits.objective {
            for model in self.model_by_id.values() {
                self.models[*model].waits = WaitWatch::default();
            }
        }
        // What interactive got of the larger share is not held against it under the smaller one.
        for model in self.model_by_id.values() {
            let streak = &mut self.models[*model].interactive_streak;
            *streak = limits.interactive_weight.get().min(*streak);
        }
        self.limits = limits;
        if changes_victims {
            self.list_evictable();
        }
    }

    /// Lets other bounds than [`Limits::model_capacity`] and [`Limits::batch_share_percent`] hold for one model
    /// from the next step on, until [`Self::set_limits`].
    pub fn set_model_limits(&mut self, model: ModelId, limits: Option<ModelLimits>) {
        match limits {
            Some(limits) => self.limits.models.insert(model, limits),
            None => self.limits.models.remove(&model),
        };
    }

    /// How replicas are chosen, from the next step on.
    pub fn strategies_mut(&mut self) -> &mut Strategies {
        &mut self.strategies
    }

    /// Takes in `event` at `now_ms` and says what is to be done, in order. An instant before that of an
    /// earlier step counts as that one.
    pub fn step(&mut self, event: Event, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        self.step_into(event, now_ms, &mut actions);
        actions
    }

    /// [`Self::step`] that appends to `actions`.
    pub fn step_into(&mut self, event: Event, now_ms: u64, actions: &mut Vec<Action>) {
        self.now_ms = self.now_ms.max(now_ms);
        let waited_alone = self.alone_ready > 0;
        match event {
            Event::Offered(offer) => {
                self.expire(actions); // first, so that what has expired holds no place
                self.offer(offer, actions);
            }
            Event::Committed { task } => self.commit(task, actions),
            Event::Withdrawn { task } => self.withdraw(task, actions),
            Event::Restored(restored) => self.restore(restored),
            Event::ReplicaChanged(replica) => self.change_replica(&replica),
            Event::ReplicaGone { replica } => self.drop_replica(&replica),
            Event::AttemptEnded { task, lease, next } => self.end_attempt(task, lease, next),
            Event::LeaseReleased { lease } => self.release(lease),
            Event::Measured { model, sample } => self.measure(&model, sample),
            Event::Canceled { task } => self.cancel(task, actions),
            Event::ModelUnservable { model } => self.end_unservable(&model, actions),
            Event::Tick => {}
        }
        self.expire(actions); // before dispatch, so that nothing starts past its end
        if waited_alone || self.alone_ready > 0 {
            // The replica that empties for a task may be another one now, or none.
            self.touched.extend(self.models.iter().map(|(model, _)| model));
        }
        self.dispatch(actions);
        self.forget_idle_models();
        debug_assert_eq!(self.check_now_and_then(), Ok(()));
    }

    fn offer(&mut self, offer: Offer, actions: &mut Vec<Action>) {
        if self.by_id.contains_key(&offer.task) {
            self.refused_events += 1;
            return;
        }
        let model = self.model(&offer.model);
        if let Some(retry_after_ms) = self.shed_for_ms(model, &offer) {
            actions.push(Action::Rejected {
                task: offer.task,
                limit: QueueLimit::Objective,
                retry_after_ms: Some(retry_after_ms),
            });
            return;
        }
        let victims = match self.room_for(model, &offer) {
            Ok(victims) => victims,
            Err(limit) => {
                let retry_after_ms = self.back_off_ms(model, &offer, limit);
                actions.push(Action::Rejected { task: offer.task, limit, retry_after_ms });
                return;
            }
        };
        let lane = self.models[model].lane_mut(offer.class);
        let backlog = lane.backlog_of(&offer.identity);
        lane.reserve(backlog);
        let task = self.remember(offer, model, Some(backlog));
        let victims = self.set_aside(task, victims);
        let Task { class, prompt_bytes, id, .. } = self.tasks[task];
        let queue = &mut self.models[model];
        *queue.reserved_mut(class) += 1;
        self.reserved += 1;
        self.prompt_bytes += prompt_bytes;
        let (position, forecast) = self.foretell(task);
        actions.push(Action::Reserved { task: id, position, forecast, victims });
    }

    fn commit(&mut self, id: TaskId, actions: &mut Vec<Action>) {
        let Some((task, canceled)) = self.reserved_task(id) else {
            return;
        };
        self.evict_victims(task);
        self.enqueue(task, Place::Fresh); // first, so that its identity keeps its turn
        self.unreserve(task);
        if canceled {
            self.end(task, EndedBy::Cancel, actions);
        }
    }

    fn withdraw(&mut self, id: TaskId, actions: &mut Vec<Action>) {
        if let Some((task, _canceled)) = self.reserved_task(id) {
            self.unreserve(task);
            self.put_back_victims(task, actions);
            self.forget(task);
        }
    }

    /// The task, if it is reserved, and whether somebody wants it to end; an event that names another
    /// one is refused.
    fn reserved_task(&mut self, id: TaskId) -> Option<(Key<Task>, bool)> {
        let found = self.by_id.get(&id).map(|task| (*task, self.tasks[*task].place));
        if let Some((task, Place::Reserved { canceled })) = found {
            return Some((task, canceled));
        }
        self.refused_events += 1;
        None
    }

    fn unreserve(&mut self, task: Key<Task>) {
        let Task { model, class, backlog, prompt_bytes, .. } = self.tasks[task];
        let queue = &mut self.models[model];
        queue.lane_mut(class).unreserve(backlog.expect("what is offered has a turn"));
        *queue.reserved_mut(class) -= 1;
        self.reserved -= 1;
        self.prompt_bytes -= prompt_bytes;
    }

    fn restore(&mut self, restored: Restored) {
        let Restored { offer, requeued, not_before_ms } = restored;
        if self.by_id.contains_key(&offer.task) {
            self.refused_events += 1;
            return;
        }
        let model = self.model(&offer.model);
        let ran_before = requeued || offer.request.alone || not_before_ms > self.now_ms;
        let (place, backlog) = if ran_before {
            (self.place_again(not_before_ms), None)
        } else {
            let lane = self.models[model].lane_mut(offer.class);
            (Place::Fresh, Some(lane.backlog_of(&offer.identity)))
        };
        let task = self.remember(offer, model, backlog);
        self.enqueue(task, place);
    }

    fn place_again(&self, not_before_ms: u64) -> Place {
        if not_before_ms > self.now_ms { Place::Delayed { not_before_ms } } else { Place::Again }
    }

    fn change_replica(&mut self, change: &Replica) {
        let replica = self.table.announce(change);
        self.unlist(replica);
        let names = change.replica.models.iter().map(|one| ModelId(Arc::clone(&one.model)));
        let mut models: Vec<_> = names.map(|id| self.model(&id)).collect();
        models.sort();
        models.dedup();
        for &model in &models {
            let serving = &mut self.models[model].replicas;
            let at = serving.partition_point(|other| {
                self.table.replicas[*other].id < self.table.replicas[replica].id
            });
            serving.insert(at, replica);
        }
        self.table.replicas[replica].models = models;
        self.regroup();
    }

    fn drop_replica(&mut self, id: &ReplicaKey) {
        let Some(&replica) = self.table.by_id.get(id) else {
            return;
        };
        self.unlist(replica);
        self.table.withdraw(replica);
        self.regroup();
    }

    /// Looks which contexts the models that were touched have now, and rounds their tasks to those.
    fn regroup(&mut self) {
        for model in self.touched.clone() {
            let Some(queue) = self.models.get(model) else { continue };
            let snapshot = &self.table.snapshot;
            let of_replica = |replica: &Key<ReplicaSlots>| {
                let replica = snapshot.replica(&self.table.replicas[*replica].id)?;
                replica.models.iter().find(|one| one.model == queue.id.0)?.ctx_tokens
            };
            let mut contexts: Vec<u64> = queue.replicas.iter().filter_map(of_replica).collect();
            contexts.sort_unstable();
            contexts.dedup();
            if queue.contexts == contexts {
                continue;
            }
            let queue = &mut self.models[model];
            queue.contexts = contexts;
            let mut tasks = queue.interactive.tasks(&self.forest);
            tasks.extend(queue.batch.tasks(&self.forest));
            for task in tasks {
                let asked = Arc::clone(&self.tasks[task].request);
                self.ask(task, asked);
            }
        }
    }

    /// Lets a queued task ask for something else of its replica.
    fn ask(&mut self, task: Key<Task>, request: Arc<Request>) {
        let Task { model, class, backlog, sequence, waiting_since_ms, ctx_tokens, place, .. } =
            self.tasks[task];
        let queue = &mut self.models[model];
        let request = queue.rounded(request, ctx_tokens);
        let lane = queue.lane_mut(class);
        let request = lane.shared(request);
        let former = &self.tasks[task].request;
        if is_same(former, &request) {
            return;
        }
        match place {
            Place::Fresh => {
                let backlog = backlog.expect("it is in rotation");
                lane.change_fresh(backlog, (sequence, task), (former, &request));
            }
            Place::Again => {
                let at = (sequence, waiting_since_ms);
                lane.remove_again(&mut self.forest, former, task);
                lane.push_again(&mut self.forest, &request, task, at);
            }
            Place::Reserved { .. }
            | Place::Evicting { .. }
            | Place::Delayed { .. }
            | Place::Running { .. } => {}
        }
        self.tasks[task].request = request;
    }

    /// Takes the replica off the lists of its models.
    fn unlist(&mut self, replica: Key<ReplicaSlots>) {
        for model in std::mem::take(&mut self.table.replicas[replica].models) {
            self.models[model].replicas.retain(|other| *other != replica);
            self.touched.push(model);
        }
    }

    fn end_attempt(&mut self, id: TaskId, lease: Lease, next: Next) {
        let running = |task: &&Key<Task>| self.tasks[**task].place == Place::Running { lease };
        let Some(&task) = self.by_id.get(&id).filter(running) else {
            return; // the task ended before its attempt did
        };
        self.stop_running(task, lease);
        match next {
            Next::Ended => self.forget(task),
            Next::Requeue { not_before_ms, request } => {
                self.tasks[task].ctx_tokens = request.ctx_tokens;
                self.tasks[task].request = request;
                self.tasks[task].waiting_since_ms = self.now_ms;
                self.enqueue(task, self.place_again(not_before_ms));
            }
        }
    }

    fn release(&mut self, lease: Lease) {
        let Some(replica) = self.table.release(lease) else {
            self.unknown_releases += 1;
            return;
        };
        for one in self.table.beside(&replica) {
            self.touched.extend(&self.table.replicas[*one].models);
        }
        self.table.forget_if_gone(replica);
    }

    fn cancel(&mut self, id: TaskId, actions: &mut Vec<Action>) {
        let Some(&task) = self.by_id.get(&id) else {
            return;
        };
        match &mut self.tasks[task].place {
            Place::Reserved { canceled } | Place::Evicting { canceled } => *canceled = true,
            _ => self.end(task, EndedBy::Cancel, actions),
        }
    }

    fn end_unservable(&mut self, id: &ModelId, actions: &mut Vec<Action>) {
        let Some(&model) = self.model_by_id.get(id) else {
            return;
        };
        let queue = &self.models[model];
        let mut queued = queue.interactive.tasks(&self.forest);
        queued.extend(queue.batch.tasks(&self.forest));
        queued.sort_by_key(|task| self.tasks[*task].sequence);
        for task in queued {
            self.end(task, EndedBy::Unservable, actions);
        }
    }

    /// Does what is due by now.
    fn expire(&mut self, actions: &mut Vec<Action>) {
        while let Some((at_ms, task)) = self.timers.first() {
            if at_ms > self.now_ms {
                break;
            }
            let Task { deadline_ms, queue_until_ms, place, .. } = self.tasks[task];
            if deadline_ms == at_ms {
                self.end(task, EndedBy::Deadline, actions);
            } else if place.is_queued() && queue_until_ms == at_ms {
                self.end(task, EndedBy::QueueTimeout, actions);
            } else {
                self.wake(task);
            }
        }
    }

    /// The task's delay is over.
    fn wake(&mut self, task: Key<Task>) {
        self.tasks[task].place = Place::Again;
        let entry = &self.tasks[task];
        let Task { model, class, sequence, ref request, .. } = *entry;
        let queue = &mut self.models[model];
        queue.note_waiting(entry);
        queue.lane_mut(class).remove_delayed(&mut self.forest, task);
        let at = (sequence, entry.waiting_since_ms);
        queue.lane_mut(class).push_again(&mut self.forest, request, task, at);
        queue.alone_ready += u64::from(request.alone);
        self.alone_ready += u64::from(request.alone);
        self.touched.push(model);
        self.set_timer(task);
    }

    fn end(&mut self, task: Key<Task>, by: EndedBy, actions: &mut Vec<Action>) {
        let lease = match self.tasks[task].place {
            Place::Running { lease } => {
                self.stop_running(task, lease);
                Some(lease)
            }
            _ => {
                self.judge_forecast(task, false);
                self.dequeue(task, false);
                self.count_drain(task);
                None
            }
        };
        actions.push(Action::Ended { task: self.tasks[task].id, by, lease });
        self.forget(task);
    }

    fn stop_running(&mut self, task: Key<Task>, lease: Lease) {
        self.table.orphan(lease);
        self.models[self.tasks[task].model].running -= 1;
    }

    /// Puts a task that is in no queue into the one that `place` names.
    fn enqueue(&mut self, task: Key<Task>, place: Place) {
        self.tasks[task].place = place;
        self.round(task);
        let entry = &self.tasks[task];
        let Task { model, class, backlog, sequence, prompt_bytes, ref request, .. } = *entry;
        let at = (sequence, entry.waiting_since_ms);
        let queue = &mut self.models[model];
        if queue.queued() == 0 {
            queue.turn = self.next_turn;
            self.next_turn += 1;
        }
        queue.note_waiting(entry);
        queue.lane_mut(class).work_mut().add(&entry.work.work());
        match place {
            Place::Fresh => {
                let lane = queue.lane_mut(class);
                let backlog = backlog.expect("what is queued in rotation has a turn");
                lane.push_fresh(&mut self.forest, backlog, task, at, request);
                if self.limits.when_full == WhenFull::DropLru && entry.is_evictable {
                    queue.evictable.of_mut(class).insert((sequence, task));
                }
            }
            Place::Again => {
                queue.lane_mut(class).push_again(&mut self.forest, request, task, at);
                queue.alone_ready += u64::from(request.alone);
                self.alone_ready += u64::from(request.alone);
            }
            Place::Delayed { .. } => {
                queue.lane_mut(class).push_delayed(&mut self.forest, task, at);
            }
            Place::Reserved { .. } | Place::Evicting { .. } | Place::Running { .. } => {
                unreachable!("these are no queues")
            }
        }
        self.queued += 1;
        self.prompt_bytes += prompt_bytes;
        self.touched.push(model);
        self.set_timer(task);
    }

    /// Rounds what the task, which is in no queue, asks for to what replicas have, and keeps equal requests
    /// once.
    fn round(&mut self, task: Key<Task>) {
        let Task { model, class, ref request, ctx_tokens, .. } = self.tasks[task];
        let queue = &self.models[model];
        let request = queue.rounded(Arc::clone(request), ctx_tokens);
        self.tasks[task].request = queue.lane(class).shared(request);
    }

    /// Takes a task out of its queue; the caller says at once where it stands instead.
    fn dequeue(&mut self, task: Key<Task>, starts: bool) {
        let entry = &self.tasks[task];
        let Task { model, class, backlog, sequence, prompt_bytes, ref request, place, .. } = *entry;
        let queue = &mut self.models[model];
        queue.forget_waiting(entry);
        queue.lane_mut(class).work_mut().remove(&entry.work.work());
        if self.limits.when_full == WhenFull::DropLru && place == Place::Fresh {
            queue.evictable.of_mut(class).remove(&(entry.sequence, task));
        }
        match place {
            Place::Fresh => {
                let backlog = backlog.expect("it is in rotation");
                let lane = queue.lane_mut(class);
                if starts {
                    lane.start_fresh(&mut self.forest, backlog, task, sequence, request);
                } else {
                    lane.remove_fresh(&mut self.forest, backlog, task, sequence, request);
                }
            }
            Place::Again => {
                queue.lane_mut(class).remove_again(&mut self.forest, request, task);
                queue.alone_ready -= u64::from(request.alone);
                self.alone_ready -= u64::from(request.alone);
            }
            Place::Delayed { .. } => queue.lane_mut(class).remove_delayed(&mut self.forest, task),
            Place::Reserved { .. } | Place::Evicting { .. } | Place::Running { .. } => {
                unreachable!("it is queued")
            }
        }
        self.queued -= 1;
        self.prompt_bytes -= prompt_bytes;
    }

    /// Sets the task's timer to the next instant that matters where it stands now.
    fn set_timer(&mut self, task: Key<Task>) {
        let entry = &self.tasks[task];
        let deadline_ms = entry.deadline_ms;
        let at_ms = match entry.place {
            // An end needs a durable task, and one that may have ended has none.
            Place::Reserved { .. } | Place::Evicting { .. } => u64::MAX,
            Place::Running { .. } => deadline_ms,
            Place::Fresh | Place::Again => deadline_ms.min(entry.queue_until_ms),
            Place::Delayed { not_before_ms } => {
                deadline_ms.min(entry.queue_until_ms).min(not_before_ms)
            }
        };
        let timer_ms = (at_ms != u64::MAX).then_some(at_ms);
        self.timers.set(task, entry.sequence, timer_ms);
    }

    fn remember(
        &mut self,
        offer: Offer,
        model: Key<ModelQueue>,
        backlog: Option<Key<Backlog>>,
    ) -> Key<Task> {
        let id = offer.task;
        let task = self.tasks.insert(Task {
            id,
            model,
            class: offer.class,
            backlog,
            sequence: offer.sequence,
            prompt_bytes: offer.prompt_bytes,
            work: PackedWork::new(&offer.work),
            is_evictable: offer.is_evictable,
            waiting_since_ms: offer.waiting_since_ms,
            deadline_ms: offer.deadline_ms.unwrap_or(u64::MAX),
            queue_until_ms: offer.queue_until_ms,
            ctx_tokens: offer.request.ctx_tokens,
            request: offer.request,
            place: Place::Reserved { canceled: false },
            is_foretold: false,
        });
        self.by_id.insert(id, task);
        task
    }

    /// Drops a task that is in no queue.
    fn forget(&mut self, task: Key<Task>) {
        let entry = self.tasks.remove(task);
        self.by_id.remove(&entry.id);
        self.timers.set(task, entry.sequence, None);
        if entry.is_foretold {
            self.models[entry.model].foretold.remove(&task);
        }
        self.touched.push(entry.model);
    }

    /// The queue of `id`, made if there is none.
    fn model(&mut self, id: &ModelId) -> Key<ModelQueue> {
        let model = self.model_by_id.get(id).copied().unwrap_or_else(|| {
            let model = self.models.insert(ModelQueue::new(id.clone()));
            self.model_by_id.insert(id.clone(), model);
            model
        });
        self.touched.push(model);
        model
    }

    fn forget_idle_models(&mut self) {
        for model in self.touched.drain(..) {
            if self.models.get(model).is_some_and(ModelQueue::is_idle) {
                let queue = self.models.remove(model);
                self.model_by_id.remove(&queue.id);
            }
        }
    }

    fn position_of(&self, task: Key<Task>) -> u64 {
        let entry = &self.tasks[task];
        let queue = &self.models[entry.model];
        queue.position(&self.forest, entry, &self.ages())
    }

    fn ages(&self) -> Ages {
        Ages::new(&self.limits, self.now_ms)
    }

    /// Checks the invariants in steps so far apart that a step's share of the cost stays small.
    fn check_now_and_then(&mut self) -> Result<(), Violation> {
        self.unchecked_steps += 1;
        if self.unchecked_steps < self.tasks.len() / 32 {
            return Ok(());
        }
        self.unchecked_steps = 0;
        self.check_invariants()
    }
}

/// The class's name for messages.
fn name(class: Class) -> &'static str {
    match class {
        Class::Interactive => "interactive",
        Class::Batch => "batch",
    }
}
