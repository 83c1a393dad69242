use std::sync::Arc;

use orchestrator_core::{Event, Lease, Next, ServiceSample, TaskState};
use placement::Request;

use super::{EndedBy, Happening, Live, OVERLOADED_RETRY_MS, Phase, Pool, Run, Stop, World};
use crate::{
    engine::Active,
    journal::{Commit, Note, Outcome, Then},
    names::task_id,
    violation::{Violation, ensure},
};

/// What a failed attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The engine never saw the task.
    Unreachable,
    /// The engine had no room.
    Overloaded,
    Lost,
}

impl World<'_> {
    /// A run begins: the attempt is journalled before the engine sees it.
    pub(super) fn dispatch(
        &mut self,
        task: u32,
        replica: usize,
        lease: Lease,
    ) -> Result<(), Violation> {
        let now_ms = self.now_ms;
        self.last_attempt += 1;
        let attempt = self.last_attempt;
        let daemon = self.up();
        let live = daemon.live.get_mut(&task);
        let live =
            live.ok_or_else(|| Violation::new(6, format!("task {task} does not live here")))?;
        live.row.attempts.push(Note { replica, began_ms: now_ms, outcome: None });
        let mut row = live.row.clone();
        row.state = TaskState::Running;
        let phase = Phase::Beginning;
        let run = Run { task, replica, attempt, phase, retry_after_ms: 0 };
        let before = daemon.runs.insert(lease, run);
        ensure(before.is_none(), 6, || format!("lease {} runs twice", lease.0))?;
        self.commit(Commit { rows: vec![row], then: Then::Began { lease } });
        Ok(())
    }

    /// The attempt's beginning is durable: the engine is asked.
    pub(super) fn began(&mut self, lease: Lease) -> Result<(), Violation> {
        let daemon = self.up();
        let run = *daemon.runs.get(&lease).expect("a run waits for its commit");
        let live = daemon.live.get_mut(&run.task).expect("its end would wait for the run");
        live.row.state = TaskState::Running;
        if live.stop.is_some() {
            return self.stopped(lease);
        }
        self.set_phase(lease, Phase::Submitting);
        let engine = &self.engines[run.replica];
        // The adapter's own time-out bounds the wait for an engine that is silent.
        let answers_ms = if engine.is_hung { 10_000 } else { 2 };
        let daemon = self.daemons;
        self.later(answers_ms, Happening::Submitted { daemon, lease });
        Ok(())
    }

    /// The engine says whether it takes the attempt.
    pub(super) fn submitted(&mut self, lease: Lease) -> Result<(), Violation> {
        let Some(run) = self.up().runs.get(&lease).copied() else { return Ok(()) };
        if run.phase != Phase::Submitting {
            return Ok(()); // it was stopped meanwhile
        }
        let engine = &self.engines[run.replica];
        if !engine.answers() {
            return self.failed(lease, Failure::Unreachable);
        }
        if !engine.has_room() {
            return self.failed(lease, Failure::Overloaded);
        }
        let task = self.tasks[&run.task];
        let known = self.logged.get(&run.task).copied().unwrap_or(0).min(task.output_tokens);
        let now_ms = self.now_ms;
        let active = self.engines[run.replica].begin(
            run.attempt,
            run.task,
            task.prompt_tokens,
            task.output_tokens,
            known,
            now_ms,
        );
        self.agenda
            .add(active.ends_ms, Happening::Done { replica: run.replica, attempt: run.attempt });
        self.set_phase(lease, Phase::Streaming);
        let ran_ms = self.live(run.task).row.ran_ms;
        let wall_left_ms = self.plan.settings.wall_ms.saturating_sub(ran_ms);
        let daemon = self.daemons;
        if active.ends_ms > now_ms + wall_left_ms {
            self.later(wall_left_ms, Happening::Watch { daemon, lease });
        }
        if self.tally.started(task, now_ms)
            && let Some(foretold) = self.up().foretold.remove(&task.number)
        {
            let waited_ms = now_ms - foretold.at_ms;
            self.tally.foretold(&foretold.forecast, waited_ms);
        }
        Ok(())
    }

    /// The engine has generated everything.
    pub(super) fn engine_done(&mut self, replica: usize, attempt: u64) -> Result<(), Violation> {
        let now_ms = self.now_ms;
        let Some(active) = self.engines[replica].active.get(&attempt).copied() else {
            return Ok(());
        };
        if active.hung_ms.is_some() || active.ends_ms > now_ms {
            return Ok(()); // it stood still meanwhile; its end comes later
        }
        self.engines[replica].active.remove(&attempt);
        let Some((lease, run)) = self.run_of(attempt) else { return Ok(()) };
        if run.phase != Phase::Streaming {
            return Ok(());
        }
        let tokens = self.tasks[&run.task].output_tokens;
        self.logged.insert(run.task, tokens);
        self.set_phase(lease, Phase::Settling);
        self.measure(run.task, &active)?;
        self.step(Event::LeaseReleased { lease })?;
        self.finish(run.task, TaskState::Succeeded, Some(Outcome::Completed))
    }

    /// Tells the scheduler what a completed attempt took, if it was the only one.
    fn measure(&mut self, task: u32, active: &Active) -> Result<(), Violation> {
        let [only] = self.live(task).row.attempts[..] else { return Ok(()) };
        let held_ms = self.now_ms - only.began_ms;
        let decode_ms = active.ends_ms.saturating_sub(active.first_ms).min(held_ms);
        let plan = self.tasks[&task];
        let sample = ServiceSample {
            prompt_tokens: plan.prompt_tokens,
            prefill_ms: held_ms - decode_ms,
            answer_tokens: plan.output_tokens,
            decode_ms,
        };
        let model = self.names.model(plan.model);
        self.step(Event::Measured { model, sample }).map(drop)
    }

    /// The watchdog finds the attempt silent, or the task running for too long.
    pub(super) fn watch(&mut self, lease: Lease) -> Result<(), Violation> {
        let Some(run) = self.up().runs.get(&lease).copied() else { return Ok(()) };
        if run.phase != Phase::Streaming {
            return Ok(());
        }
        let Some(active) = self.engines[run.replica].active.get(&run.attempt).copied() else {
            return Ok(());
        };
        let ran_ms = self.live(run.task).row.ran_ms + self.now_ms - active.began_ms;
        if ran_ms >= self.plan.settings.wall_ms {
            self.heard(run.replica, run.attempt);
            self.set_phase(lease, Phase::Settling);
            self.release_after_abort(lease);
            return self.finish(run.task, TaskState::Failed, Some(Outcome::Stopped));
        }
        let silent_ms = active.hung_ms.map_or(0, |since_ms| self.now_ms - since_ms);
        if silent_ms >= self.plan.settings.idle_ms {
            return self.failed(lease, Failure::Lost);
        }
        Ok(())
    }

    /// The attempt is told to stop.
    pub(super) fn stop(&mut self, task: u32, reason: Stop) -> Result<(), Violation> {
        let daemon = self.up();
        if let Some(live) = daemon.live.get_mut(&task) {
            live.stop.get_or_insert(reason);
        }
        let at_work = |run: &Run| matches!(run.phase, Phase::Submitting | Phase::Streaming);
        let mut runs = daemon.runs.iter();
        let run = runs.find(|(_, run)| run.task == task && at_work(run));
        match run.map(|(lease, _)| *lease) {
            Some(lease) => self.stopped(lease),
            // Whoever waits for a commit sees it behind that.
            None => Ok(()),
        }
    }

    fn stopped(&mut self, lease: Lease) -> Result<(), Violation> {
        let run = self.up().runs[&lease];
        self.heard(run.replica, run.attempt);
        self.set_phase(lease, Phase::Settling);
        self.release_after_abort(lease);
        let state = stopped_state(self.live(run.task));
        self.finish(run.task, state, Some(Outcome::Stopped))
    }

    /// The worker under the attempt is gone.
    pub(super) fn lost(&mut self, attempt: u64) -> Result<(), Violation> {
        match self.run_of(attempt) {
            Some((lease, run)) if run.phase == Phase::Streaming => {
                self.failed(lease, Failure::Lost)
            }
            _ => Ok(()),
        }
    }

    /// What follows from a failed attempt: another one, or the task's end.
    fn failed(&mut self, lease: Lease, failure: Failure) -> Result<(), Violation> {
        let run = self.up().runs[&lease];
        self.heard(run.replica, run.attempt);
        self.set_phase(lease, Phase::Settling);
        if failure == Failure::Unreachable {
            self.pool_lost(run.replica)?;
        }
        self.release_after_abort(lease);
        let now_ms = self.now_ms;
        let max_attempts = self.plan.settings.max_attempts;
        let live = self.live_mut(run.task);
        if live.stop.is_some() {
            let state = stopped_state(live);
            return self.finish(run.task, state, Some(Outcome::Stopped));
        }
        if failure == Failure::Lost {
            live.row.failures += 1;
            let failures = live.row.failures;
            ensure(failures <= max_attempts, 12, || {
                format!("task {} is tried again and again", run.task)
            })?;
            if failures == max_attempts {
                return self.finish(run.task, TaskState::Failed, Some(Outcome::Lost));
            }
            let note = live.row.attempts.last_mut().expect("the attempt is noted");
            note.outcome = Some(Outcome::Lost);
            live.row.ran_ms += now_ms - note.began_ms;
        } else {
            // No engine took it up.
            live.row.attempts.pop();
        }
        let mut row = live.row.clone();
        row.state = TaskState::Queued;
        let retry_after_ms = if failure == Failure::Overloaded { OVERLOADED_RETRY_MS } else { 0 };
        self.run_mut(lease).retry_after_ms = retry_after_ms;
        self.commit(Commit { rows: vec![row], then: Then::Requeued { lease } });
        Ok(())
    }

    /// The task is back in the journal's queue: it goes back to the scheduler's.
    pub(super) fn requeued(&mut self, lease: Lease) -> Result<(), Violation> {
        let boot_ms = self.boot_ms();
        let daemon = self.up();
        let run = daemon.runs.remove(&lease).expect("a run waits for its commit");
        let task = task_id(run.task);
        let is_running = daemon.core.real.state(task) == Some(TaskState::Running);
        let live = daemon.live.get_mut(&run.task).expect("its end would wait for the run");
        live.row.state = TaskState::Queued;
        let alone = live.row.daemon_ends >= 2;
        let failed = |note: &&Note| note.outcome == Some(Outcome::Lost);
        let mut avoid: Vec<usize> =
            live.row.attempts.iter().filter(failed).map(|note| note.replica).collect();
        avoid.sort_unstable();
        avoid.dedup();
        let asked = self.request(run.task);
        let next = Next::Requeue {
            not_before_ms: boot_ms + run.retry_after_ms,
            request: Arc::new(Request {
                alone,
                failed_on: avoid.into_iter().map(|replica| self.names.replica(replica)).collect(),
                ..asked
            }),
        };
        self.step(Event::AttemptEnded { task, lease, next })?;
        if !is_running && self.live(run.task).stop.is_some() {
            let state = stopped_state(self.live(run.task));
            return self.finish(run.task, state, None);
        }
        Ok(())
    }

    /// What the scheduler says of a task's end.
    pub(super) fn ended_by_scheduler(
        &mut self,
        task: u32,
        by: EndedBy,
        is_running: bool,
    ) -> Result<(), Violation> {
        let Some(live) = self.up().live.get_mut(&task) else { return Ok(()) };
        let reason = match by {
            EndedBy::Deadline => Stop::Deadline,
            EndedBy::Cancel | EndedBy::QueueTimeout | EndedBy::Unservable => Stop::Cancel,
        };
        if is_running {
            return self.stop(task, reason);
        }
        live.stop.get_or_insert(reason);
        let state = match by {
            EndedBy::Deadline | EndedBy::QueueTimeout => TaskState::Expired,
            EndedBy::Cancel => TaskState::Canceled,
            EndedBy::Unservable => TaskState::Failed,
        };
        self.finish(task, state, None)
    }

    /// Ends a task: the end is committed, and only then shown.
    pub(super) fn finish(
        &mut self,
        task: u32,
        state: TaskState,
        outcome: Option<Outcome>,
    ) -> Result<(), Violation> {
        let live = self.live_mut(task);
        let is_second = std::mem::replace(&mut live.is_ending, true);
        ensure(!is_second, 2, || format!("task {task} ends twice"))?;
        if let (Some(outcome), Some(note)) = (outcome, live.row.attempts.last_mut())
            && note.outcome.is_none()
        {
            note.outcome = Some(outcome);
        }
        let mut row = live.row.clone();
        row.state = state;
        self.commit(Commit { rows: vec![row], then: Then::Ended { task } });
        Ok(())
    }

    /// The end is durable: it is shown.
    pub(super) fn ended(&mut self, task: u32) -> Result<(), Violation> {
        let row = self.journal.row(task);
        let state = row.map(|row| row.state).filter(|state| state.is_terminal());
        let Some(state) = state else {
            return Err(Violation::new(
                4,
                format!("the end of task {task} is shown and not on the disk"),
            ));
        };
        self.note(|| format!("task {task} ended: {state:?}"));
        let before = self.shown.ended.insert(task, state);
        ensure(before.is_none(), 2, || format!("the end of task {task} is shown twice"))?;
        let plan = self.tasks[&task];
        self.tally.ended(plan, state);
        let daemon = self.up();
        daemon.live.remove(&task);
        let runs = daemon.runs.iter();
        let settling = runs.filter(|(_, run)| run.task == task).map(|(lease, _)| *lease).next();
        if let Some(lease) = settling {
            daemon.runs.remove(&lease);
            self.step(Event::AttemptEnded { task: task_id(task), lease, next: Next::Ended })?;
        }
        Ok(())
    }

    /// Gives the slot back when the engine confirms the abort, or when its grace is over.
    fn release_after_abort(&mut self, lease: Lease) {
        let run = self.up().runs[&lease];
        let engine = &mut self.engines[run.replica];
        let hears = engine.is_up && !engine.is_hung && engine.hears_aborts;
        let after_ms = if hears {
            engine.active.remove(&run.attempt);
            3
        } else if engine.is_up {
            self.plan.settings.cancel_grace_ms
        } else {
            1 // nobody is there to be told
        };
        let daemon = self.daemons;
        self.later(after_ms, Happening::Freed { daemon, lease });
    }

    pub(super) fn free(&mut self, lease: Lease) -> Result<(), Violation> {
        self.step(Event::LeaseReleased { lease }).map(drop)
    }

    /// Puts what the attempt has generated so far into the event log.
    pub(super) fn heard(&mut self, replica: usize, attempt: u64) {
        let now_ms = self.now_ms;
        if let Some(active) = self.engines[replica].active.get(&attempt) {
            let whole = self.tasks[&active.task].output_tokens;
            *self.logged.entry(active.task).or_insert(0) =
                whole - active.tokens + active.generated(now_ms);
        }
    }

    /// An engine cannot be reached: nothing is placed on it until it answers again.
    pub(super) fn pool_lost(&mut self, replica: usize) -> Result<(), Violation> {
        let daemon = self.daemons;
        if self.up().pools[replica].is_ready {
            self.later(1000, Happening::Looks { daemon, replica });
        }
        let slots = self.up().pools[replica].slots;
        self.put_pool(replica, Pool { is_ready: false, slots })
    }

    /// Takes in what is known of a pool now.
    pub(super) fn put_pool(&mut self, replica: usize, pool: Pool) -> Result<(), Violation> {
        let models = self.plan.replicas[replica].models.iter();
        let models: Vec<_> = models.map(|model| self.names.model(*model)).collect();
        let id = self.names.replica(replica);
        let known = &mut self.up().pools[replica];
        if *known == pool {
            return Ok(());
        }
        *known = pool;
        let slots = if pool.is_ready { pool.slots } else { 0 };
        let replica = orchestrator_core::Replica::new(id, &models, slots);
        self.step(Event::ReplicaChanged(replica)).map(drop)
    }

    /// Asks an engine whether it is there.
    pub(super) fn look(&mut self, replica: usize) -> Result<(), Violation> {
        let engine = &self.engines[replica];
        let (answers, slots) = (engine.answers(), engine.slots);
        let daemon = self.daemons;
        if !answers {
            self.later(1000, Happening::Looks { daemon, replica });
        }
        let known = self.up().pools[replica].slots;
        let slots = if answers { slots } else { known };
        self.put_pool(replica, Pool { is_ready: answers, slots })
    }

    pub(super) fn live(&self, task: u32) -> &Live {
        let daemon = self.daemon.as_ref().expect("only a daemon that is up is asked");
        daemon.live.get(&task).expect("who asks holds a task that lives")
    }

    pub(super) fn live_mut(&mut self, task: u32) -> &mut Live {
        self.up().live.get_mut(&task).expect("who asks holds a task that lives")
    }

    fn run_mut(&mut self, lease: Lease) -> &mut Run {
        self.up().runs.get_mut(&lease).expect("who asks holds the lease of a run")
    }

    fn set_phase(&mut self, lease: Lease, phase: Phase) {
        self.run_mut(lease).phase = phase;
    }

    pub(super) fn run_of(&self, attempt: u64) -> Option<(Lease, Run)> {
        let mut runs = self.daemon.as_ref()?.runs.iter();
        runs.find(|(_, run)| run.attempt == attempt).map(|(lease, run)| (*lease, *run))
    }
}

fn stopped_state(live: &Live) -> TaskState {
    match live.stop {
        Some(Stop::Deadline) => TaskState::Expired,
        Some(Stop::Cancel) | None => TaskState::Canceled,
    }
}
