use std::fmt;

use super::{Scheduler, name};
use crate::{
    Class, WhenFull,
    model_queue::ModelQueue,
    slab::Key,
    task::{Place, Task},
};

/// A broken invariant of the scheduler: a bug in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Number in the list of invariants: 1 kept, 6 one runner, 9 fair order.
    pub number: u8,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.number, self.what)
    }
}

impl std::error::Error for Violation {}

impl Scheduler {
    /// Checks everything that must hold between steps, in O(n log n).
    ///
    /// # Errors
    /// The first violation.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        self.check_kept()?;
        self.check_one_runner()?;
        self.check_fair_order()
    }

    /// Each live task is in exactly one place, and every count is that of its members.
    fn check_kept(&self) -> Result<(), Violation> {
        let (mut queued, mut reserved, mut evicting, mut bytes) = (0, 0, 0, 0);
        for (key, task) in self.tasks.iter() {
            ensure(self.by_id.get(&task.id) == Some(&key), 1, || format!("{} lost", task.id))?;
            queued += u64::from(task.place.is_queued());
            reserved += u64::from(matches!(task.place, Place::Reserved { .. }));
            evicting += u64::from(matches!(task.place, Place::Evicting { .. }));
            if !matches!(task.place, Place::Running { .. } | Place::Evicting { .. }) {
                bytes += task.prompt_bytes;
            }
        }
        let timers = self.tasks.iter().filter(|(key, _)| self.timers.of(*key).is_some()).count();
        equal(self.timers.len(), timers, 1, "timers")?;
        ensure(self.timers.is_sound(), 1, || "the timers are not in order".to_owned())?;
        equal(self.by_id.len(), self.tasks.len(), 1, "tasks by id")?;
        equal(self.queued, queued, 1, "queued tasks")?;
        equal(self.reserved, reserved, 1, "reserved tasks")?;
        equal(self.prompt_bytes, bytes, 1, "waiting bytes")?;
        self.check_evictions(evicting)?;
        equal(self.model_by_id.len(), self.models.len(), 1, "models by id")?;
        let alone = self.models.iter().map(|(_, queue)| queue.alone_ready).sum::<u64>();
        equal(self.alone_ready, alone, 1, "tasks that wait alone")?;
        self.models.iter().try_for_each(|(model, queue)| self.check_queue(model, queue))
    }

    /// Each task that gave up its place did so for one reserved task.
    fn check_evictions(&self, evicting: u64) -> Result<(), Violation> {
        let mut victims: Vec<_> = self.evictions.values().flatten().collect();
        victims.sort();
        victims.dedup();
        equal(victims.len() as u64, evicting, 1, "tasks that give up their places")?;
        let is_victim = |task: &Key<Task>| {
            self.tasks.get(*task).is_some_and(|task| matches!(task.place, Place::Evicting { .. }))
        };
        ensure(victims.into_iter().all(is_victim), 1, || "a victim has a place".to_owned())?;
        let is_reserved = |task: &Key<Task>| {
            self.tasks.get(*task).is_some_and(|task| matches!(task.place, Place::Reserved { .. }))
        };
        let newcomers = self.evictions.keys();
        ensure({ newcomers }.all(is_reserved), 1, || "a newcomer has come".to_owned())?;
        let by_model = self.models.iter().map(|(_, queue)| queue.evicting).sum::<u64>();
        equal(by_model, evicting, 1, "tasks of models that give up their places")
    }

    fn check_queue(&self, model: Key<ModelQueue>, queue: &ModelQueue) -> Result<(), Violation> {
        let count = |is: &dyn Fn(&Task) -> bool| {
            let own = self.tasks.iter().filter(|(_, task)| task.model == model && is(task));
            own.fold(0, |sum, _| sum + 1)
        };
        for class in [Class::Interactive, Class::Batch] {
            let lane = queue.lane(class);
            let members = lane.tasks(&self.forest);
            let is_member = |key: &Key<Task>| {
                self.tasks.get(*key).is_some_and(|task| {
                    task.model == model && task.class == class && task.place.is_queued()
                })
            };
            let what = name(class);
            ensure(members.iter().all(is_member), 1, || format!("a stranger in {what}"))?;
            let mut distinct = members.clone();
            distinct.sort();
            distinct.dedup();
            equal(distinct.len(), members.len(), 1, "distinct members of a lane")?;
            equal(lane.queued(), members.len() as u64, 1, "members of a lane")?;
            let queued = count(&|task| task.class == class && task.place.is_queued());
            equal(lane.queued(), queued, 1, "tasks of a lane")?;
            let is_listed = lane.is_wanting_sound(&self.forest);
            ensure(is_listed, 9, || format!("the tasks of {what} are not listed by their needs"))?;
            ensure(lane.is_ring_sound(), 9, || format!("the rotation of {what} is broken"))?;
        }
        let is_kept = |key: &Key<Task>| self.tasks.get(*key).is_some_and(|task| task.is_foretold);
        ensure(queue.foretold.keys().all(is_kept), 1, || {
            "a forecast outlived its task".to_owned()
        })?;
        let foretold = count(&|task| task.is_foretold);
        equal(queue.foretold.len() as u64, foretold, 1, "tasks with a forecast")?;
        let waiting = &queue.batch_waiting;
        let is_listed = |task: &Task| waiting.contains(&(task.waiting_since_ms, task.sequence));
        let listed = count(&|task| task.is_aging() && is_listed(task));
        equal(listed, count(&Task::is_aging), 9, "tasks that age")?;
        equal(waiting.len() as u64, listed, 9, "tasks listed as ageing")?;
        for class in [Class::Interactive, Class::Batch] {
            let may_go = |task: &Task| {
                task.class == class && task.place == Place::Fresh && task.is_evictable
            };
            let expected = match self.limits.when_full {
                WhenFull::DropLru => count(&may_go),
                WhenFull::Reject => 0,
            };
            let listed = queue.evictable.of(class).len() as u64;
            equal(listed, expected, 1, "tasks that may make room")?;
        }
        let reserved = count(&|task| matches!(task.place, Place::Reserved { .. }));
        equal(queue.reserved_interactive + queue.reserved_batch, reserved, 1, "reservations")?;
        let running = count(&|task| matches!(task.place, Place::Running { .. }));
        equal(queue.running, running, 1, "running tasks of a model")?;
        let alone = count(&|task| task.place == Place::Again && task.request.alone);
        equal(queue.alone_ready, alone, 1, "tasks of a model that wait alone")
    }

    /// A lease belongs to at most one running task, and every busy slot to one lease.
    fn check_one_runner(&self) -> Result<(), Violation> {
        for (lease, held) in &self.table.leases {
            let is_runner = |task: Key<Task>| {
                self.tasks
                    .get(task)
                    .is_some_and(|task| task.place == Place::Running { lease: *lease })
            };
            let fits = held.task.is_none_or(is_runner);
            ensure(fits, 6, || format!("lease {} belongs to a task that does not run", lease.0))?;
        }
        for (key, replica) in self.table.replicas.iter() {
            let leases = self.table.leases.values().filter(|held| held.replica == key);
            let held = leases.fold(0, |sum, _| sum + 1);
            equal(replica.busy, held, 6, "busy slots")?;
            if let Some(placed) = self.table.snapshot.replica(&replica.id) {
                let occupied = self.table.occupied(key);
                equal(placed.busy, occupied, 6, "busy slots of the snapshot")?;
            }
            let alone = replica.alone.is_none_or(|lease| self.table.leases.contains_key(&lease));
            ensure(alone, 6, || format!("{} is kept for a released lease", replica.id))?;
            ensure(replica.alone.is_none() || replica.busy == 1, 6, || {
                format!("{} runs something beside a task that runs alone", replica.id)
            })?;
        }
        Ok(())
    }

    /// No task waits for a slot that it could use, and batch was not passed over more than its weight.
    fn check_fair_order(&self) -> Result<(), Violation> {
        for (model, queue) in self.models.iter() {
            let is_within = queue.interactive_streak <= self.limits.interactive_weight.get();
            ensure(is_within, 9, || format!("batch of {} starves", queue.id.0))?;
            let idle = self.next_start(model).is_none();
            ensure(idle, 9, || format!("a task of {} waits beside a free slot", queue.id.0))?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, number: u8, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { number, what: what() }) }
}

fn equal<T: PartialEq + fmt::Display>(
    counted: T,
    found: T,
    number: u8,
    what: &str,
) -> Result<(), Violation> {
    ensure(counted == found, number, || format!("{what}: {counted} counted, {found} found"))
}
