use orchestrator_core::Limits;

use super::{Happening, Pool, UNSYNCED_MS, World};
use crate::{scenario::FaultKind, violation::Violation};

impl World<'_> {
    pub(super) fn break_down(&mut self, index: usize) -> Result<(), Violation> {
        let kind = self.plan.faults[index].kind.clone();
        self.note(|| format!("fault: {kind:?}"));
        match kind {
            FaultKind::Kill { down_ms } => self.crash(down_ms),
            FaultKind::PowerLoss { down_ms } => self.lose_power(down_ms),
            FaultKind::DeviceFull { for_ms } => {
                self.journal.is_full = true;
                self.later(for_ms, Happening::Mends(kind));
                Ok(())
            }
            FaultKind::SlowFsync { takes_ms } => {
                self.journal.slow_down(takes_ms);
                Ok(())
            }
            // What computes in the daemon dies with it.
            FaultKind::WorkerDies { replica, down_ms } if self.is_in_process(replica) => {
                self.crash(down_ms)
            }
            FaultKind::WorkerDies { replica, .. } if !self.engines[replica].is_up => Ok(()),
            FaultKind::WorkerDies { replica, down_ms } => {
                self.later(down_ms, Happening::Mends(kind));
                self.worker_dies(replica)
            }
            FaultKind::WorkerFlaps { replica, .. } | FaultKind::WorkerHangs { replica, .. }
                if self.is_in_process(replica) =>
            {
                Ok(())
            }
            FaultKind::WorkerHangs { replica, for_ms } => {
                self.later(for_ms, Happening::Mends(kind));
                self.worker_hangs(replica);
                Ok(())
            }
            FaultKind::WorkerFlaps { replica, times, every_ms } => {
                let down_ms = every_ms / 2;
                self.later(down_ms, Happening::Mends(FaultKind::WorkerDies { replica, down_ms }));
                if times > 1 {
                    let times = times - 1;
                    let again = FaultKind::WorkerFlaps { replica, times, every_ms };
                    self.later(every_ms, Happening::Mends(again));
                }
                if self.engines[replica].is_up { self.worker_dies(replica) } else { Ok(()) }
            }
            FaultKind::WorkerSlow { replica, for_ms, percent } => {
                self.engines[replica].slow_percent = percent;
                self.later(for_ms, Happening::Mends(kind));
                Ok(())
            }
            FaultKind::AbortsUnheard { replica, for_ms } => {
                self.engines[replica].hears_aborts = false;
                self.later(for_ms, Happening::Mends(kind));
                Ok(())
            }
            FaultKind::Resized { replica, slots, for_ms } => {
                self.later(for_ms, Happening::Mends(kind));
                self.resize(replica, slots)
            }
            FaultKind::Reloaded { limits } => {
                self.reload(*limits);
                Ok(())
            }
        }
    }

    /// Other bounds hold from now on, for a daemon that is up and for those that come.
    fn reload(&mut self, limits: Limits) {
        if let Some(daemon) = &mut self.daemon {
            daemon.core.set_limits(limits.clone());
        }
        self.judge.set_limits(limits.clone());
        self.limits = limits;
        self.tally.reloads += 1;
    }

    pub(super) fn mend(&mut self, kind: &FaultKind) -> Result<(), Violation> {
        match *kind {
            FaultKind::Kill { .. }
            | FaultKind::PowerLoss { .. }
            | FaultKind::SlowFsync { .. }
            | FaultKind::Reloaded { .. } => {}
            FaultKind::DeviceFull { .. } => self.journal.is_full = false,
            FaultKind::WorkerDies { replica, .. } => self.engines[replica].is_up = true,
            FaultKind::WorkerHangs { replica, .. } => self.worker_goes_on(replica),
            FaultKind::WorkerSlow { replica, .. } => self.engines[replica].slow_percent = 100,
            FaultKind::AbortsUnheard { replica, .. } => self.engines[replica].hears_aborts = true,
            FaultKind::Resized { replica, .. } => {
                return self.resize(replica, self.plan.replicas[replica].slots);
            }
            FaultKind::WorkerFlaps { replica, times, every_ms } => {
                if self.is_calm {
                    return Ok(());
                }
                let down_ms = every_ms / 2;
                self.later(down_ms, Happening::Mends(FaultKind::WorkerDies { replica, down_ms }));
                if times > 1 {
                    let again = FaultKind::WorkerFlaps { replica, times: times - 1, every_ms };
                    self.later(every_ms, Happening::Mends(again));
                }
                if self.engines[replica].is_up {
                    return self.worker_dies(replica);
                }
            }
        }
        Ok(())
    }

    /// All faults end.
    pub(super) fn calm_down(&mut self) -> Result<(), Violation> {
        self.note(|| "all faults end".to_owned());
        self.is_calm = true;
        self.journal.is_full = false;
        for replica in 0..self.engines.len() {
            self.engines[replica].is_up = true;
            self.engines[replica].slow_percent = 100;
            self.engines[replica].hears_aborts = true;
            self.worker_goes_on(replica);
            self.resize(replica, self.plan.replicas[replica].slots)?;
        }
        Ok(())
    }

    /// The daemon is killed; another one starts after a while.
    pub(super) fn crash(&mut self, down_ms: u64) -> Result<(), Violation> {
        if self.daemon.take().is_none() {
            return Ok(()); // it is down already, and will be started
        }
        self.tally.crashes += 1;
        self.journal.crash();
        for replica in 0..self.engines.len() {
            let attempts: Vec<u64> = self.engines[replica].active.keys().copied().collect();
            for attempt in attempts {
                self.heard(replica, attempt);
                let active = self.engines[replica].active[&attempt];
                if active.generated(self.now_ms) > 0 {
                    self.progressed.insert(active.task);
                }
                if self.is_in_process(replica) {
                    self.engines[replica].active.remove(&attempt);
                } else {
                    // Its engine finds the connection closed.
                    let after_ms = self.dice.between(5, 2000);
                    self.later(after_ms, Happening::Dropped { replica, attempt });
                }
            }
        }
        self.daemons += 1;
        let daemon = self.daemons;
        self.later(down_ms, Happening::Starts { daemon });
        Ok(())
    }

    /// The machine loses power: the workers are gone, and the last tokens.
    fn lose_power(&mut self, down_ms: u64) -> Result<(), Violation> {
        let now_ms = self.now_ms;
        self.crash(down_ms)?;
        for replica in 0..self.engines.len() {
            for active in std::mem::take(&mut self.engines[replica].active).into_values() {
                let whole = self.tasks[&active.task].output_tokens;
                let synced = active.generated(now_ms.saturating_sub(UNSYNCED_MS));
                self.logged.insert(active.task, whole - active.tokens + synced);
                if synced == 0 {
                    self.progressed.remove(&active.task);
                }
            }
        }
        self.boots += 1;
        self.booted_ms = now_ms;
        Ok(())
    }

    fn worker_dies(&mut self, replica: usize) -> Result<(), Violation> {
        self.engines[replica].is_up = false;
        let attempts: Vec<u64> = self.engines[replica].active.keys().copied().collect();
        for attempt in attempts {
            self.heard(replica, attempt);
            self.engines[replica].active.remove(&attempt);
            self.lost(attempt)?;
        }
        let (daemon, after_ms) = (self.daemons, self.dice.below(5000));
        self.later(after_ms, Happening::Looks { daemon, replica });
        Ok(())
    }

    fn worker_hangs(&mut self, replica: usize) {
        let now_ms = self.now_ms;
        let engine = &mut self.engines[replica];
        if engine.is_hung || !engine.is_up {
            return;
        }
        engine.is_hung = true;
        let attempts: Vec<u64> = engine.active.keys().copied().collect();
        for active in engine.active.values_mut() {
            active.hung_ms = Some(now_ms);
        }
        let daemon = self.daemons;
        let idle_ms = self.plan.settings.idle_ms;
        for attempt in attempts {
            if let Some((lease, run)) = self.run_of(attempt) {
                self.later(idle_ms, Happening::Watch { daemon, lease });
                let ran_ms = self.live(run.task).row.ran_ms;
                let began_ms = self.engines[replica].active[&attempt].began_ms;
                let wall_left_ms =
                    self.plan.settings.wall_ms.saturating_sub(ran_ms + now_ms - began_ms);
                self.later(wall_left_ms, Happening::Watch { daemon, lease });
            }
        }
        let after_ms = 5000 + self.dice.below(5000);
        self.later(after_ms, Happening::Looks { daemon, replica });
    }

    fn worker_goes_on(&mut self, replica: usize) {
        let now_ms = self.now_ms;
        let engine = &mut self.engines[replica];
        engine.is_hung = false;
        let mut ends = Vec::new();
        for (attempt, active) in &mut engine.active {
            if let Some(hung_ms) = active.hung_ms.take() {
                let stood_ms = now_ms - hung_ms;
                if active.first_ms > hung_ms {
                    active.first_ms += stood_ms;
                }
                active.ends_ms += stood_ms;
                ends.push((active.ends_ms, *attempt));
            }
        }
        for (ends_ms, attempt) in ends {
            self.agenda.add(ends_ms, Happening::Done { replica, attempt });
        }
    }

    /// The replica gets other slots, by its configuration.
    fn resize(&mut self, replica: usize, slots: u32) -> Result<(), Violation> {
        self.engines[replica].slots = slots;
        if self.daemon.as_ref().is_none_or(|daemon| !daemon.is_ready) {
            return Ok(()); // the next one reads it when it starts
        }
        let is_ready = self.up().pools[replica].is_ready;
        self.put_pool(replica, Pool { is_ready, slots })
    }

    pub(super) fn look_for_room(&mut self) {
        let (daemon, is_full) = (self.daemons, self.journal.is_full);
        if self.up().is_store_full {
            self.up().is_store_full = is_full;
            if is_full {
                self.later(1000, Happening::LooksForRoom { daemon });
            }
        }
    }

    fn is_in_process(&self, replica: usize) -> bool {
        self.plan.replicas[replica].in_process
    }
}
