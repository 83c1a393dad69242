//! The scheduler's rules over again, as plainly as can be: lists, and every answer computed anew.

use std::{collections::BTreeMap, sync::Arc};

use orchestrator_core::{
    Action, Class, EndedBy, Event, Identity, Lease, Limits, ModelId, Next, Offer, QueueLimit,
    Replica, Restored, TaskId, WhenFull,
};
use placement::{ReplicaKey, ReplicaState, Request};

use crate::house::undecided;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Reserved { canceled: bool },
    Fresh,
    Evicting { by: TaskId, nth: usize, canceled: bool },
    Again { not_before_ms: u64 },
    Running(Lease),
}

#[derive(Debug, Clone)]
pub(crate) struct Waiter {
    pub(crate) offer: Offer,
    pub(crate) stage: Stage,
    request: Arc<Request>,
    since_ms: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) lease: Lease,
    pub(crate) replica: ReplicaKey,
    alone: bool,
}

pub(crate) struct Naive {
    limits: Limits,
    now_ms: u64,
    pub(crate) tasks: Vec<Waiter>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) leases: Vec<Held>,
    last_lease: u64,
    /// Identities with reserved or fresh tasks, next turn first.
    turns: BTreeMap<(ModelId, Class), Vec<Identity>>,
    /// Models with queued tasks, next turn first.
    model_turns: Vec<ModelId>,
    streaks: BTreeMap<ModelId, u32>,
    actions: Vec<Action>,
}

impl Waiter {
    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Fresh | Stage::Again { .. })
    }

    fn is_reserved(&self) -> bool {
        matches!(self.stage, Stage::Reserved { .. })
    }

    fn is_evicting(&self) -> bool {
        matches!(self.stage, Stage::Evicting { .. })
    }

    /// Whether its identity keeps its turn for it.
    fn holds_turn(&self) -> bool {
        self.is_reserved() || self.is_evicting() || self.stage == Stage::Fresh
    }

    fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }

    /// When and how time ends it.
    fn end(&self) -> Option<(u64, EndedBy)> {
        let deadline = self.offer.deadline_ms.map(|at_ms| (at_ms, 0, EndedBy::Deadline));
        let timeout = (self.offer.queue_until_ms, 1, EndedBy::QueueTimeout);
        let ends = match self.stage {
            Stage::Reserved { .. } | Stage::Evicting { .. } => None,
            Stage::Running(_) => deadline,
            _ => {
                deadline.into_iter().chain([timeout]).min_by_key(|(at_ms, rank, _)| (*at_ms, *rank))
            }
        };
        ends.filter(|(at_ms, ..)| *at_ms != u64::MAX).map(|(at_ms, _, by)| (at_ms, by))
    }
}

impl Naive {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            now_ms: 0,
            tasks: Vec::new(),
            replicas: Vec::new(),
            leases: Vec::new(),
            last_lease: 0,
            turns: BTreeMap::new(),
            model_turns: Vec::new(),
            streaks: BTreeMap::new(),
            actions: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, event: Event, now_ms: u64) -> Vec<Action> {
        self.now_ms = self.now_ms.max(now_ms);
        match event {
            Event::Offered(offer) => {
                self.expire();
                self.offer(offer);
            }
            Event::Committed { task } => self.commit(task),
            Event::Withdrawn { task } => self.withdraw(task),
            Event::Restored(restored) => self.restore(restored),
            Event::ReplicaChanged(replica) => {
                self.replicas.retain(|it| it.replica.key != replica.replica.key);
                self.replicas.push(replica);
                self.replicas.sort_by(|one, other| one.replica.key.cmp(&other.replica.key));
            }
            Event::ReplicaGone { replica } => {
                self.replicas.retain(|it| it.replica.key != replica);
            }
            Event::AttemptEnded { task, lease, next } => self.end_attempt(task, lease, next),
            Event::Measured { .. } => {}
            Event::LeaseReleased { lease } => self.leases.retain(|held| held.lease != lease),
            Event::Canceled { task } => match self.find(task).map(|waiter| waiter.stage) {
                None => {}
                Some(Stage::Reserved { .. }) => {
                    self.find(task).unwrap().stage = Stage::Reserved { canceled: true };
                }
                Some(Stage::Evicting { by, nth, .. }) => {
                    self.find(task).unwrap().stage = Stage::Evicting { by, nth, canceled: true };
                }
                Some(_) => self.end(task, EndedBy::Cancel),
            },
            Event::ModelUnservable { model } => {
                let mut queued = self.tasks.clone();
                queued.retain(|waiter| waiter.is_queued() && waiter.offer.model == model);
                queued.sort_by_key(|waiter| waiter.offer.sequence);
                for waiter in queued {
                    self.end(waiter.offer.task, EndedBy::Unservable);
                }
            }
            Event::Tick => {}
        }
        self.update_turns();
        self.expire();
        while self.start_one() {}
        let tasks = &self.tasks;
        let replicas = &self.replicas;
        self.streaks.retain(|model, _| {
            tasks.iter().any(|waiter| waiter.offer.model == *model)
                || replicas.iter().any(|it| holds(it, model))
        });
        std::mem::take(&mut self.actions)
    }

    /// Queued tasks of one model in the order of their starts.
    pub(crate) fn order(&self, model: &ModelId) -> Vec<TaskId> {
        let mut interactive = self.lane(model, Class::Interactive).into_iter().peekable();
        let mut batch = self.lane(model, Class::Batch).into_iter().peekable();
        let mut streak = self.streaks.get(model).copied().unwrap_or(0);
        let mut order = Vec::new();
        loop {
            let weight = self.weight(model, &order);
            let both = interactive.peek().is_some() && batch.peek().is_some();
            let next = if both && streak >= weight {
                streak = 0;
                batch.next()
            } else {
                streak += u32::from(both);
                interactive.next().or_else(|| batch.next())
            };
            match next {
                Some(task) => order.push(task),
                None => return order,
            }
        }
    }

    /// Dispatches to interactive for one to batch: 1 once a task of batch that may start has waited long.
    /// `gone` have started meanwhile.
    fn weight(&self, model: &ModelId, gone: &[TaskId]) -> u32 {
        let is_aged = |waiter: &Waiter| {
            let may_start = match waiter.stage {
                Stage::Fresh => true,
                Stage::Again { not_before_ms } => not_before_ms <= self.now_ms,
                Stage::Reserved { .. } | Stage::Evicting { .. } | Stage::Running(_) => false,
            };
            let (offer, waited_ms) = (&waiter.offer, self.now_ms.saturating_sub(waiter.since_ms));
            let is_old = waited_ms >= self.limits.batch_max_wait_ms;
            let is_here = offer.model == *model && !gone.contains(&offer.task);
            is_here && offer.class == Class::Batch && may_start && is_old
        };
        let is_aged = self.tasks.iter().any(is_aged);
        if is_aged { 1 } else { self.limits.interactive_weight.get() }
    }

    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        let delays = self.tasks.iter().filter_map(|waiter| match waiter.stage {
            Stage::Again { not_before_ms } => Some(not_before_ms).filter(|at| *at > self.now_ms),
            _ => None,
        });
        let ends = self.tasks.iter().filter_map(|waiter| waiter.end().map(|(at_ms, _)| at_ms));
        delays.chain(ends).min()
    }

    fn lane(&self, model: &ModelId, class: Class) -> Vec<TaskId> {
        let mut queued: Vec<_> = self
            .tasks
            .iter()
            .filter(|waiter| waiter.offer.model == *model && waiter.offer.class == class)
            .filter(|waiter| waiter.is_queued())
            .collect();
        queued.sort_by_key(|waiter| waiter.offer.sequence);
        let (fresh, again): (Vec<_>, Vec<_>) =
            queued.into_iter().partition(|waiter| waiter.stage == Stage::Fresh);
        let mut order: Vec<_> = again.iter().map(|waiter| waiter.offer.task).collect();
        let turns = self.turns.get(&(model.clone(), class)).cloned().unwrap_or_default();
        for round in 0..fresh.len() {
            for identity in &turns {
                let mut own = fresh.iter().filter(|waiter| waiter.offer.identity == *identity);
                order.extend(own.nth(round).map(|waiter| waiter.offer.task));
            }
        }
        order
    }

    fn find(&mut self, task: TaskId) -> Option<&mut Waiter> {
        self.tasks.iter_mut().find(|waiter| waiter.offer.task == task)
    }

    fn offer(&mut self, offer: Offer) {
        if self.find(offer.task).is_some() {
            return;
        }
        let (task, model) = (offer.task, offer.model.clone());
        let mut victims = Vec::new();
        while let Some(limit) = self.broken_limit(&offer, &victims) {
            let can_help =
                limit != QueueLimit::Bytes || offer.prompt_bytes <= self.limits.bytes_max;
            let next = self.victim(&offer, limit, &victims);
            match next.filter(|_| can_help && victims.len() < 16) {
                Some(victim) if self.limits.when_full == WhenFull::DropLru => victims.push(victim),
                _ => {
                    let rejected = Action::Rejected { task, limit, retry_after_ms: None };
                    self.actions.push(rejected);
                    return;
                }
            }
        }
        for (nth, victim) in victims.iter().enumerate() {
            let stage = Stage::Evicting { by: task, nth, canceled: false };
            self.find(*victim).unwrap().stage = stage;
        }
        self.update_turns();
        // Queued for a moment, to see where it would stand.
        let since_ms = offer.waiting_since_ms;
        let stage = Stage::Fresh;
        let request = Arc::clone(&offer.request);
        self.tasks.push(Waiter { offer, stage, request, since_ms });
        self.update_turns();
        let position = self.place(&model, task);
        self.find(task).unwrap().stage = Stage::Reserved { canceled: false };
        self.actions.push(Action::Reserved { task, position, forecast: None, victims });
    }

    /// The bound that `offer` breaks with `gone` out of the way.
    fn broken_limit(&self, offer: &Offer, gone: &[TaskId]) -> Option<QueueLimit> {
        let mut held: Vec<_> = self.tasks.iter().collect();
        held.retain(|it| !it.is_running() && !it.is_evicting() && !gone.contains(&it.offer.task));
        let own = held.iter().filter(|waiter| waiter.offer.model == offer.model);
        let batch = own.clone().filter(|waiter| waiter.offer.class == Class::Batch).count() as u64;
        let bytes: u64 = held.iter().map(|waiter| waiter.offer.prompt_bytes).sum();
        let limits = self.limits.of(&offer.model);
        if own.count() as u64 >= limits.capacity {
            Some(QueueLimit::Model)
        } else if offer.class == Class::Batch && batch >= limits.batch_capacity() {
            Some(QueueLimit::BatchShare)
        } else if held.len() as u64 >= self.limits.total_capacity {
            Some(QueueLimit::Daemon)
        } else if bytes + offer.prompt_bytes > self.limits.bytes_max {
            Some(QueueLimit::Bytes)
        } else {
            None
        }
    }

    /// Who makes room for `newcomer`, besides those in `gone`.
    fn victim(&self, newcomer: &Offer, limit: QueueLimit, gone: &[TaskId]) -> Option<TaskId> {
        let is_daemons = matches!(limit, QueueLimit::Daemon | QueueLimit::Bytes);
        let oldest = |class: Class| {
            let mut may_go: Vec<_> = self.tasks.iter().map(|it| (it.stage, &it.offer)).collect();
            may_go.retain(|(stage, offer)| {
                *stage == Stage::Fresh
                    && offer.is_evictable
                    && offer.class == class
                    && (is_daemons || offer.model == newcomer.model)
                    && !gone.contains(&offer.task)
            });
            may_go.into_iter().min_by_key(|(_, offer)| offer.sequence).map(|(_, offer)| offer.task)
        };
        let interactive = || oldest(Class::Interactive);
        let is_interactive = newcomer.class == Class::Interactive;
        oldest(Class::Batch).or_else(|| interactive().filter(|_| is_interactive))
    }

    fn place(&self, model: &ModelId, task: TaskId) -> u64 {
        self.order(model).iter().position(|other| *other == task).unwrap() as u64
    }

    fn commit(&mut self, task: TaskId) {
        let Some(waiter) = self.find(task) else { return };
        let Stage::Reserved { canceled } = waiter.stage else { return };
        waiter.stage = Stage::Fresh;
        let is_victim = |stage: Stage| matches!(stage, Stage::Evicting { by, .. } if by == task);
        self.tasks.retain(|other| !is_victim(other.stage));
        if canceled {
            self.end(task, EndedBy::Cancel);
        }
    }

    /// The newcomer is gone; its victims are back.
    fn withdraw(&mut self, task: TaskId) {
        if !self.find(task).is_some_and(|waiter| waiter.is_reserved()) {
            return;
        }
        self.tasks.retain(|other| other.offer.task != task);
        let mut back = self.tasks.clone();
        let nth = |waiter: &Waiter| match waiter.stage {
            Stage::Evicting { by, nth, .. } if by == task => Some(nth),
            _ => None,
        };
        back.retain(|waiter| nth(waiter).is_some());
        back.sort_by_key(nth);
        for waiter in back {
            self.find(waiter.offer.task).unwrap().stage = Stage::Fresh;
            self.update_turns();
            if matches!(waiter.stage, Stage::Evicting { canceled: true, .. }) {
                self.end(waiter.offer.task, EndedBy::Cancel);
            }
        }
    }

    fn restore(&mut self, restored: Restored) {
        if self.find(restored.offer.task).is_none() {
            let Restored { offer, requeued, not_before_ms } = restored;
            let request = Arc::clone(&offer.request);
            let ran_before = requeued || request.alone || not_before_ms > self.now_ms;
            let stage = if ran_before { Stage::Again { not_before_ms } } else { Stage::Fresh };
            let since_ms = offer.waiting_since_ms;
            self.tasks.push(Waiter { offer, stage, request, since_ms });
        }
    }

    fn end_attempt(&mut self, task: TaskId, lease: Lease, next: Next) {
        let now_ms = self.now_ms;
        let Some(waiter) = self.find(task).filter(|other| other.stage == Stage::Running(lease))
        else {
            return;
        };
        match next {
            Next::Ended => self.tasks.retain(|other| other.offer.task != task),
            Next::Requeue { not_before_ms, request } => {
                waiter.stage = Stage::Again { not_before_ms };
                waiter.request = request;
                waiter.since_ms = now_ms;
            }
        }
    }

    fn end(&mut self, task: TaskId, by: EndedBy) {
        let lease = match self.find(task).unwrap().stage {
            Stage::Running(lease) => Some(lease),
            _ => None,
        };
        self.tasks.retain(|other| other.offer.task != task);
        self.actions.push(Action::Ended { task, by, lease });
    }

    fn expire(&mut self) {
        let due = |waiter: &Waiter| {
            let (at_ms, by) = waiter.end().filter(|(at_ms, _)| *at_ms <= self.now_ms)?;
            Some((at_ms, waiter.offer.sequence, waiter.offer.task, by))
        };
        let mut ends: Vec<_> = self.tasks.iter().filter_map(due).collect();
        ends.sort_by_key(|(at_ms, sequence, ..)| (*at_ms, *sequence));
        for (_, _, task, by) in ends {
            self.end(task, by);
        }
        self.update_turns();
    }

    fn update_turns(&mut self) {
        let tasks = &self.tasks;
        for waiter in tasks {
            let Offer { model, class, identity, .. } = &waiter.offer;
            let turns = self.turns.entry((model.clone(), *class)).or_default();
            if waiter.holds_turn() && !turns.contains(identity) {
                turns.push(identity.clone());
            }
            if waiter.is_queued() && !self.model_turns.contains(model) {
                self.model_turns.push(model.clone());
            }
        }
        for ((model, class), turns) in &mut self.turns {
            turns.retain(|identity| {
                tasks.iter().any(|waiter| {
                    waiter.offer.identity == *identity
                        && waiter.offer.model == *model
                        && waiter.offer.class == *class
                        && waiter.holds_turn()
                })
            });
        }
        self.model_turns.retain(|model| {
            tasks.iter().any(|waiter| waiter.is_queued() && waiter.offer.model == *model)
        });
    }

    fn start_one(&mut self) -> bool {
        for model in self.model_turns.clone() {
            let interactive = self.first_start(&model, Class::Interactive);
            let batch = self.first_start(&model, Class::Batch);
            let weight = self.weight(&model, &[]);
            let streak = self.streaks.entry(model.clone()).or_default();
            let before = *streak;
            let start = if interactive.is_some() && batch.is_some() {
                if before >= weight {
                    *streak = 0;
                    batch
                } else {
                    *streak += 1;
                    interactive
                }
            } else {
                interactive.or(batch)
            };
            if let Some((task, replica)) = start {
                let after = self.streaks.insert(model.clone(), before).unwrap();
                let position = self.place(&model, task);
                self.streaks.insert(model.clone(), after);
                self.start(task, replica, position);
                self.model_turns.retain(|other| *other != model);
                self.model_turns.push(model);
                self.update_turns();
                return true;
            }
        }
        false
    }

    fn start(&mut self, task: TaskId, replica: ReplicaKey, position: u64) {
        self.last_lease += 1;
        let lease = Lease(self.last_lease);
        let waiter = self.find(task).unwrap();
        let alone = waiter.request.alone;
        if waiter.stage == Stage::Fresh {
            let Offer { model, class, identity, .. } = waiter.offer.clone();
            let turns = self.turns.get_mut(&(model, class)).unwrap();
            turns.retain(|other| *other != identity);
            turns.push(identity);
        }
        self.find(task).unwrap().stage = Stage::Running(lease);
        self.leases.push(Held { lease, replica: replica.clone(), alone });
        let decision = undecided(&replica);
        self.actions.push(Action::Dispatch { task, replica, lease, position, decision });
    }

    /// Queued tasks in the order in which they are asked whether they can start: as in [`Self::lane`], but that
    /// the turn of an identity whose first task cannot is that of its next one, so that nobody else starts two
    /// before it.
    fn asked(&self, model: &ModelId, class: Class) -> Vec<TaskId> {
        let find = |task: &TaskId| self.tasks.iter().find(|waiter| waiter.offer.task == *task);
        let turns = self.turns.get(&(model.clone(), class)).cloned().unwrap_or_default();
        let mut order = self.lane(model, class);
        // Re-queued ones stay first; of each identity the order is kept.
        order.sort_by_key(|task| {
            let waiter = find(task).unwrap();
            let is_own = |identity: &Identity| *identity == waiter.offer.identity;
            (waiter.stage == Stage::Fresh).then(|| turns.iter().position(is_own))
        });
        order
    }

    fn first_start(&self, model: &ModelId, class: Class) -> Option<(TaskId, ReplicaKey)> {
        self.asked(model, class).into_iter().find_map(|task| {
            let waiter = self.tasks.iter().find(|waiter| waiter.offer.task == task).unwrap();
            if matches!(waiter.stage, Stage::Again { not_before_ms } if not_before_ms > self.now_ms)
            {
                return None;
            }
            let emptying = self.emptying();
            let free = self.usable(waiter).into_iter().filter(|it| {
                let (replica, busy) = (&it.replica, self.busy(&it.replica.key));
                busy < replica.slots
                    && !self.leases.iter().any(|held| held.replica == replica.key && held.alone)
                    && (!waiter.request.alone || busy == 0)
                    && !emptying.contains(&replica.key)
            });
            self.least_busy(free.collect()).map(|it| (task, it.replica.key.clone()))
        })
    }

    /// For the first task of each model that wants a replica to itself, the one that empties for it.
    fn emptying(&self) -> Vec<ReplicaKey> {
        let first = |model: &ModelId| {
            let lanes = [Class::Interactive, Class::Batch].map(|class| self.lane(model, class));
            let waiters = lanes
                .into_iter()
                .flatten()
                .map(|task| self.tasks.iter().find(|waiter| waiter.offer.task == task).unwrap());
            waiters.into_iter().find(|waiter| {
                let ready = Stage::Again { not_before_ms: 0 };
                let stage = match waiter.stage {
                    Stage::Again { not_before_ms } if not_before_ms <= self.now_ms => ready,
                    other => other,
                };
                waiter.request.alone && stage == ready
            })
        };
        let waiting = self.model_turns.iter().filter_map(first);
        let replicas = waiting.filter_map(|waiter| self.least_busy(self.usable(waiter)));
        replicas
            .filter(|it| self.busy(&it.replica.key) > 0)
            .map(|it| it.replica.key.clone())
            .collect()
    }

    fn usable(&self, waiter: &Waiter) -> Vec<&Replica> {
        let open = self
            .replicas
            .iter()
            .filter(|it| it.replica.state == ReplicaState::Ready && suits(waiter, it));
        let open: Vec<_> = open.collect();
        let mut liked = open.clone();
        liked.retain(|it| !waiter.request.failed_on.contains(&it.replica.key));
        if liked.is_empty() { open } else { liked }
    }

    pub(crate) fn busy(&self, replica: &ReplicaKey) -> u32 {
        u32::try_from(self.leases.iter().filter(|held| held.replica == *replica).count()).unwrap()
    }

    fn least_busy<'a>(&self, replicas: Vec<&'a Replica>) -> Option<&'a Replica> {
        // At most 6 slots a replica here, so that sixtieths are exact.
        let share = |it: &&Replica| self.busy(&it.replica.key) * 60 / it.replica.slots;
        replicas.into_iter().min_by_key(share)
    }
}

fn holds(it: &Replica, model: &ModelId) -> bool {
    it.replica.models.iter().any(|one| one.model == model.0)
}

/// Whether the replica holds the task's model with enough context, and the task is not pinned elsewhere.
fn suits(waiter: &Waiter, it: &Replica) -> bool {
    let request = &waiter.request;
    let model = it.replica.models.iter().find(|model| model.model == waiter.offer.model.0);
    let pin = request.wish.pin_pool.as_ref();
    model.is_some_and(|model| match (model.ctx_tokens, request.ctx_tokens) {
        (Some(has), Some(needs)) => needs <= has,
        _ => true,
    }) && pin.is_none_or(|pin| *pin == it.replica.key.pool)
}
