use std::collections::BTreeMap;

use orchestrator_core::{Event, Restored, TaskState};

use super::{ALONE_AFTER_MS, Daemon, Happening, Live, Pool, World};
use crate::{
    journal::{Commit, Outcome, Row, Then},
    judge::Judge,
    plant::PlantedScheduler,
    violation::{Violation, ensure},
};

impl World<'_> {
    /// A daemon begins: it notes which attempts the death of the last one cut off, in one commit.
    pub(super) fn start_daemon(&mut self, number: u32) -> Result<(), Violation> {
        if number != self.daemons || self.daemon.is_some() {
            return Ok(());
        }
        self.check_kept()?;
        self.note(|| format!("daemon {number} starts"));
        let limits = self.limits.clone();
        let former =
            std::mem::replace(&mut self.judge, Judge::new(limits.clone(), self.names.clone()));
        self.tally.positions += former.positions_tried;
        let pool = |slots| Pool { is_ready: false, slots };
        self.daemon = Some(Daemon {
            number,
            core: PlantedScheduler::new(limits, self.plant),
            live: BTreeMap::new(),
            runs: BTreeMap::new(),
            pools: self.engines.iter().map(|engine| pool(engine.slots)).collect(),
            parked: BTreeMap::new(),
            evicting: BTreeMap::new(),
            gates: BTreeMap::new(),
            foretold: BTreeMap::new(),
            next_sequence: self.journal.last_sequence() + 1,
            is_store_full: false,
            wakes_ms: None,
            is_ready: false,
        });
        let mut rows = self.journal.live();
        for row in &mut rows {
            if row.state == TaskState::Running {
                self.interrupt(row);
            }
        }
        self.commit(Commit { rows, then: Then::Recovered });
        Ok(())
    }

    /// Notes the end of the attempt in whose middle the last daemon ended.
    fn interrupt(&self, row: &mut Row) {
        row.state = TaskState::Queued;
        let Some(note) = row.attempts.last_mut() else { return };
        note.outcome = Some(Outcome::Interrupted);
        if self.plan.replicas[note.replica].in_process {
            let has_progressed = self.progressed.contains(&row.task);
            row.daemon_ends = if has_progressed { 1 } else { row.daemon_ends + 1 };
        }
    }

    /// What the last daemon left joins the queue: queued tasks in their order, running ones ahead.
    pub(super) fn take_over(&mut self) -> Result<(), Violation> {
        self.progressed.clear();
        for row in self.journal.live() {
            let (task, deaths) = (row.task, row.daemon_ends);
            let has_run = !row.attempts.is_empty();
            let live = Live { row: row.clone(), stop: None, is_ending: false };
            self.up().live.insert(task, live);
            if deaths >= self.plan.settings.poison_limit {
                self.finish(task, TaskState::Failed, Some(Outcome::Interrupted))?;
                continue;
            }
            let alone = deaths >= 2;
            let wait_ms = if alone { alone_after_ms(deaths) } else { 0 };
            let offer = self.offer(&row);
            let not_before_ms = self.boot_ms() + wait_ms;
            let restored = Restored { offer, requeued: has_run, not_before_ms };
            if self.tasks[&task].leave_after_ms.is_some() {
                // Its client has to come back before it costs anything more.
                self.up().parked.insert(task, restored);
                self.wait_for_client(task);
                if self.absent.insert(task) {
                    self.later(200, Happening::Returns(task));
                }
            } else {
                self.step(Event::Restored(restored))?;
            }
        }
        self.up().is_ready = true;
        let daemon = self.daemons;
        for replica in 0..self.engines.len() {
            self.later(1, Happening::Looks { daemon, replica });
        }
        Ok(())
    }

    /// What clients were told is what the disk says. An end that was made durable in the moment of a death
    /// is what they find when they come back.
    pub(super) fn check_kept(&mut self) -> Result<(), Violation> {
        for task in &self.shown.accepted {
            let Some(row) = self.journal.row(*task) else {
                return Err(Violation::new(1, format!("task {task} was accepted and is lost")));
            };
            if row.state.is_terminal() && !self.shown.ended.contains_key(task) {
                self.shown.ended.insert(*task, row.state);
                self.tally.ended(self.tasks[task], row.state);
            }
        }
        for (task, state) in &self.shown.ended {
            let found = self.journal.row(*task).map(|row| row.state);
            ensure(found == Some(*state), 2, || {
                format!("task {task} was shown to end {state:?} and is {found:?}")
            })?;
        }
        Ok(())
    }
}

/// The wait before a task under which the daemon died is tried again alone.
fn alone_after_ms(deaths: u32) -> u64 {
    let step = usize::try_from(deaths.saturating_sub(2)).unwrap_or(usize::MAX);
    ALONE_AFTER_MS[step.min(ALONE_AFTER_MS.len() - 1)]
}
