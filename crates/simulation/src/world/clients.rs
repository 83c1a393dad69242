use orchestrator_core::{Event, TaskState};

use super::{EndedBy, Foretold, Happening, Live, Stop, World};
use crate::{
    journal::{Commit, Row, Then},
    names::task_id,
    plant::Plant,
    scenario::TaskPlan,
    violation::{Violation, ensure},
};

impl World<'_> {
    /// A client hands a task in.
    pub(super) fn arrive(&mut self, task: u32) -> Result<(), Violation> {
        self.tally.offered(self.tasks[&task]);
        if !self.daemon.as_ref().is_some_and(|it| it.is_ready) {
            self.tally.refused("nobody listens");
            return Ok(());
        }
        self.ask(task)
    }

    /// A request with a key waits for one that is being admitted under it, and is answered with the task that
    /// the key stands for.
    fn ask(&mut self, task: u32) -> Result<(), Violation> {
        let key = self.tasks[&task].key;
        if let Some(key) = key
            && self.plant != Some(Plant::UngatedKeys)
        {
            if let Some(waiting) = self.up().gates.get_mut(&key) {
                waiting.push(task);
                return Ok(());
            }
            if let Some(bound) = self.journal.bound(key) {
                self.tally.replayed += 1;
                return self.tell_key(key, bound);
            }
            self.up().gates.insert(key, Vec::new());
        }
        let is_under_way = self.admit(task)?;
        if is_under_way { Ok(()) } else { self.open_gate(task) }
    }

    /// The request is answered: those that wait for it ask again, one after the other.
    pub(super) fn open_gate(&mut self, task: u32) -> Result<(), Violation> {
        let Some(key) = self.tasks[&task].key else { return Ok(()) };
        let waiting = self.up().gates.remove(&key).unwrap_or_default();
        waiting.into_iter().try_for_each(|task| self.ask(task))
    }

    /// A client is told which task its key stands for: no other one of that key may be alive.
    fn tell_key(&mut self, key: u32, task: u32) -> Result<(), Violation> {
        let former = self.shown.keys.insert(key, task);
        let is_live =
            |task: u32| self.journal.row(task).is_some_and(|row| !row.state.is_terminal());
        let other = former.filter(|former| *former != task && is_live(*former));
        ensure(other.is_none(), 1, || {
            format!("key {key} stands for task {task}, and for {other:?}, which has not ended")
        })?;
        let live = self.journal.live();
        let of_key: Vec<u32> =
            live.iter().filter(|row| row.key == Some(key)).map(|row| row.task).collect();
        ensure(of_key.len() <= 1, 1, || format!("key {key} stands for tasks {of_key:?} at once"))
    }

    /// Whether the admission is under way, and not refused at once.
    fn admit(&mut self, task: u32) -> Result<bool, Violation> {
        let (now_ms, boot_ms, boot) = (self.now_ms, self.boot_ms(), self.boots);
        let TaskPlan { key, wish, .. } = *self.tasks[&task];
        let daemon = self.up();
        if wish.pin.is_some_and(|replica| !daemon.pools[replica].is_ready) {
            self.tally.refused("the pinned pool is not ready");
            return Ok(false);
        }
        let sequence = daemon.next_sequence;
        daemon.next_sequence += 1;
        let row = Row {
            task,
            sequence,
            state: TaskState::Queued,
            admitted_ms: now_ms,
            admitted_boot_ms: boot_ms,
            boot,
            attempts: Vec::new(),
            failures: 0,
            daemon_ends: 0,
            ran_ms: 0,
            key,
        };
        let offer = self.offer(&row);
        let foreseen = self.up().core.real.foresee(&offer, boot_ms);
        let deadline_ms = self.tasks[&task].deadline_ms;
        if foreseen.zip(deadline_ms).is_some_and(|(it, deadline_ms)| it.end_ms() > deadline_ms) {
            self.tally.refused("the deadline cannot be met");
            return Ok(false);
        }
        match self.step(Event::Offered(offer))? {
            Some(Ok(victims)) => {
                if let Some(forecast) = self.up().core.real.forecast(task_id(task), boot_ms) {
                    let foretold = Foretold { at_ms: now_ms, forecast };
                    self.up().foretold.insert(task, foretold);
                }
                let mut rows = vec![row.clone()];
                for victim in &victims {
                    let live = self.live_mut(*victim);
                    let is_second = std::mem::replace(&mut live.is_ending, true);
                    ensure(!is_second, 2, || format!("task {victim} ends twice"))?;
                    rows.push(Row { state: TaskState::Evicted, ..live.row.clone() });
                }
                self.up().evicting.insert(task, victims);
                self.commit(Commit { rows, then: Then::Admitted { task } });
                // Remembered with its commit; nobody asks for it before that.
                let live = Live { row, stop: None, is_ending: false };
                self.up().live.insert(task, live);
            }
            Some(Err(limit)) => {
                self.tally.refused(&format!("the queue's limit {limit:?}"));
                return Ok(false);
            }
            None => {
                return Err(Violation::new(1, format!("the offer of task {task} is not answered")));
            }
        }
        Ok(true)
    }

    /// The admission is durable: the 202 leaves, and the task joins the queue.
    pub(super) fn admitted(&mut self, task: u32) -> Result<(), Violation> {
        ensure(self.journal.row(task).is_some(), 4, || {
            format!("task {task} is accepted and not on the disk")
        })?;
        self.note(|| format!("task {task} is accepted"));
        self.shown.accepted.insert(task);
        if let Some(key) = self.tasks[&task].key {
            self.tell_key(key, task)?;
        }
        let plan = self.tasks[&task];
        self.tally.accepted(plan);
        if let Some(after_ms) = plan.cancel_after_ms {
            self.later(after_ms, Happening::Cancels(task));
        }
        if let Some(after_ms) = plan.leave_after_ms {
            self.later(after_ms, Happening::Leaves(task));
        }
        self.step(Event::Committed { task: task_id(task) })?;
        for victim in self.up().evicting.remove(&task).unwrap_or_default() {
            self.ended(victim)?;
        }
        self.open_gate(task)
    }

    pub(super) fn client_cancels(&mut self, task: u32) -> Result<(), Violation> {
        let is_up = self.daemon.as_ref().is_some_and(|it| it.is_ready);
        if !is_up {
            if self.daemons > 0 && !self.shown.ended.contains_key(&task) {
                self.later(500, Happening::Cancels(task)); // the client tries again
            }
            return Ok(());
        }
        self.cancel(task)
    }

    fn cancel(&mut self, task: u32) -> Result<(), Violation> {
        let daemon = self.up();
        let Some(live) = daemon.live.get_mut(&task) else { return Ok(()) };
        live.stop.get_or_insert(Stop::Cancel);
        if daemon.parked.remove(&task).is_some() {
            return self.ended_by_scheduler(task, EndedBy::Cancel, false);
        }
        self.step(Event::Canceled { task: task_id(task) }).map(drop)
    }

    /// The client of a task that is to end without it goes away.
    pub(super) fn leave(&mut self, task: u32) -> Result<(), Violation> {
        self.absent.insert(task);
        if let Some(away_ms) = self.tasks[&task].away_ms {
            self.later(away_ms, Happening::Returns(task));
        }
        if self.daemon.as_ref().is_some_and(|it| it.live.contains_key(&task)) {
            self.wait_for_client(task);
        }
        Ok(())
    }

    /// Ends the task unless its client is back in time.
    pub(super) fn wait_for_client(&mut self, task: u32) {
        let (daemon, arrivals) = (self.daemons, self.arrivals.get(&task).copied().unwrap_or(0));
        let after_ms = self.plan.settings.reattach_ms;
        self.later(after_ms, Happening::Alone { daemon, task, arrivals });
    }

    pub(super) fn come_back(&mut self, task: u32) -> Result<(), Violation> {
        let is_up = self.daemon.as_ref().is_some_and(|it| it.is_ready);
        if !is_up {
            self.later(300, Happening::Returns(task));
            return Ok(());
        }
        self.absent.remove(&task);
        *self.arrivals.entry(task).or_insert(0) += 1;
        match self.up().parked.remove(&task) {
            Some(restored) => self.step(Event::Restored(restored)).map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn check_alone(&mut self, task: u32, arrivals: u32) -> Result<(), Violation> {
        let is_alone = self.absent.contains(&task)
            && self.arrivals.get(&task).copied().unwrap_or(0) == arrivals;
        if is_alone { self.cancel(task) } else { Ok(()) }
    }
}
