use std::{collections::BTreeSet, sync::Arc, time::Duration};

use orchestrator_core::TaskId;
use serde::{Deserialize, Serialize};

use crate::{Ended, EventStoreError, JournalError, Record, Refusal, shared::Shared};

/// Tasks that are looked at, and changed, at once: other commits go in between.
const SLICE: usize = 64;

/// How far the wall clock may be ahead of where it was expected.
const STEP_MS_MAX: u64 = 5 * 60_000;

/// Longest time for which a clock that stepped forward is not believed.
const DOUBT_MS_MAX: u64 = 3_600_000;

/// Note: where the wall clock stood when it was last believed.
const NOTE_CLOCK: &str = "retention_clock";

/// What one look leaves for the next.
#[derive(Debug, Default)]
pub(crate) struct RetentionState {
    /// Where the clock stood when it was last believed.
    believed: Option<Reading>,
    /// Boot-time clock since which the wall clock is not believed.
    doubted_since_ms: Option<u64>,
    /// What was complained about, so that it is said once.
    is_behind: bool,
    is_too_large: bool,
}

/// Both clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reading {
    boot_id: String,
    boot_ms: u64,
    wall_ms: u64,
}

/// What the wall clock is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WallClock {
    /// Times are stored that it has not reached.
    Behind,
    /// It stepped forward: age proves nothing yet.
    Doubted,
    Believed(u64),
}

impl Shared {
    /// Removes what is not kept any longer, until the orchestrator ends.
    pub(crate) async fn keep_retention(self: Arc<Self>) {
        loop {
            match self.retain().await {
                Ok(()) => {}
                Err(Refusal::Store(error @ JournalError::Failed { .. })) => self.fail(&error).await,
                Err(Refusal::Events(error @ EventStoreError::Io { .. })) => self.fail(&error).await,
                Err(refusal) => {
                    tracing::warn!(error = %refusal, "ended tasks are not removed; trying again");
                }
            }
            let pause = Duration::from_millis(self.options().retention.look_every_ms);
            tokio::time::sleep(pause).await;
        }
    }

    async fn retain(&self) -> Result<(), Refusal> {
        self.finish_erasures().await?;
        let wall_clock = self.wall_clock().await?;
        if let WallClock::Believed(now_ms) = wall_clock {
            self.remove_aged(now_ms).await?;
        }
        self.reclaim().await?;
        if wall_clock != WallClock::Behind {
            self.relieve().await?;
        }
        Ok(())
    }

    /// Goes on with erasures in whose middle a process ended.
    async fn finish_erasures(&self) -> Result<(), Refusal> {
        for task in self.journal.ended_tasks(Ended::HalfErased, SLICE).await? {
            let row = self.journal.task(task).await?;
            let regions = row.and_then(|row| row.end).map(|end| end.regions).unwrap_or_default();
            self.finish_erasure(task, regions).await?;
        }
        Ok(())
    }

    async fn remove_aged(&self, now_ms: u64) -> Result<(), Refusal> {
        let retention = self.options().retention.clone();
        let due = now_ms.saturating_sub(retention.event_retention_ms);
        while self.take_events(Ended::WithEventsUntil(due)).await? > 0 {}
        let due = now_ms.saturating_sub(retention.task_retention_ms);
        while self.take_rows(Ended::Until(due)).await? > 0 {}
        Ok(())
    }

    /// Takes the events of some of these tasks away; how many tasks those were.
    async fn take_events(&self, which: Ended) -> Result<usize, Refusal> {
        let at_ms = self.clock.wall_ms();
        self.change(which, |task| Record::EventsGone { task, at_ms }).await
    }

    /// Forgets some of these tasks; how many.
    async fn take_rows(&self, which: Ended) -> Result<usize, Refusal> {
        self.change(which, |task| Record::Removed { task }).await
    }

    async fn change(
        &self,
        which: Ended,
        record: impl Fn(TaskId) -> Record,
    ) -> Result<usize, Refusal> {
        let tasks = self.journal.ended_tasks(which, SLICE).await?;
        if !tasks.is_empty() {
            self.commit_or_fail(tasks.iter().copied().map(record).collect()).await?;
        }
        Ok(tasks.len())
    }

    /// Gives back segments in which nothing is to be had any more.
    async fn reclaim(&self) -> Result<(), Refusal> {
        // In this order: a task that begins now writes behind `before`, one that ends now is known to be
        // alive, and one that ended has its row.
        let before = self.events.current_segment();
        let of_live = self.segments_of_live();
        let in_use = self.journal.segments_in_use().await?;
        let is_kept = |segment: u64| {
            let is_within = |&(first, last): &(u64, u64)| (first..=last).contains(&segment);
            of_live.contains(&segment) || in_use.iter().any(is_within)
        };
        let freed_bytes = self.events.free_segments(before, &is_kept)?;
        if freed_bytes > 0 {
            self.sync_events().await;
            tracing::info!(event = "segments_freed", freed_bytes, "the event log got smaller");
        }
        let oldest = self.events.segments()?.first().map_or(0, |segment| segment.number);
        let freed = |task| Record::EventsFreed { task };
        while self.change(Ended::GoneBefore(oldest), freed).await? > 0 {}
        Ok(())
    }

    fn segments_of_live(&self) -> BTreeSet<u64> {
        let mut segments = BTreeSet::new();
        for live in self.all_live() {
            live.log.add_segments(&mut segments);
        }
        segments
    }

    /// Removes the oldest ended tasks while records and events take too much room. Each of the two may take
    /// half of it at least.
    async fn relieve(&self) -> Result<(), Refusal> {
        let bytes_max = self.options().retention.bytes_max;
        loop {
            let events_bytes = self.events_bytes()?;
            let records_bytes = self.journal.used_bytes().await?;
            if events_bytes + records_bytes <= bytes_max {
                self.retention_state.lock().expect("no holder panics").is_too_large = false;
                return Ok(());
            }
            let mut taken = 0;
            if events_bytes > bytes_max / 2 && self.is_reclaimable()? {
                taken = self.take_events(Ended::WithEventsUntil(u64::MAX)).await?;
            }
            if taken == 0 && records_bytes > bytes_max / 2 {
                taken = self.take_rows(Ended::Until(u64::MAX)).await?;
            }
            if taken == 0 {
                let mut state = self.retention_state.lock().expect("no holder panics");
                if !std::mem::replace(&mut state.is_too_large, true) {
                    tracing::warn!(
                        events_bytes,
                        records_bytes,
                        bytes_max,
                        "what live tasks need takes more room than retention.bytes_max",
                    );
                }
                return Ok(());
            }
            self.reclaim().await?;
        }
    }

    /// Whether a segment could be given back if no ended task had events.
    fn is_reclaimable(&self) -> Result<bool, EventStoreError> {
        let newest = self.events.current_segment().saturating_sub(1);
        let of_live = self.segments_of_live();
        let is_old = |number: u64| number < newest && !of_live.contains(&number);
        let segments = self.events.segments()?;
        let empty_bytes = segments.iter().map(|segment| segment.len_bytes).min().unwrap_or(0);
        Ok(segments.iter().any(|segment| is_old(segment.number) && segment.len_bytes > empty_bytes))
    }

    /// Room that the event log takes.
    pub(crate) fn events_bytes(&self) -> Result<u64, EventStoreError> {
        Ok(self.events.segments()?.iter().map(|segment| segment.len_bytes).sum())
    }

    async fn wall_clock(&self) -> Result<WallClock, JournalError> {
        let now = Reading {
            boot_id: self.clock.boot_id().to_owned(),
            boot_ms: self.clock.boot_ms(),
            wall_ms: self.clock.wall_ms(),
        };
        let believed = self.believed().await?;
        let of_live = self.all_live().iter().map(|live| live.spec.admitted_at_ms).max();
        let newest_end = self.journal.newest_end_ms().await?;
        let at_belief = believed.as_ref().map(|reading| reading.wall_ms);
        let newest_ms = newest_end.max(of_live).max(at_belief).unwrap_or(0);
        let (verdict, is_news) = {
            let mut state = self.retention_state.lock().expect("no holder panics");
            state.judge(
                &now,
                believed.as_ref(),
                newest_ms,
                self.options().retention.event_retention_ms,
            )
        };
        if is_news {
            let value = serde_json::to_string(&now).expect("numbers are JSON");
            self.commit_or_fail(vec![Record::Note { name: NOTE_CLOCK, value }]).await?;
            self.retention_state.lock().expect("no holder panics").believed = Some(now);
        }
        Ok(verdict)
    }

    async fn believed(&self) -> Result<Option<Reading>, JournalError> {
        let known = self.retention_state.lock().expect("no holder panics").believed.clone();
        if known.is_some() {
            return Ok(known);
        }
        // A note that cannot be read is another version's, and as good as none.
        let note = self.journal.note(NOTE_CLOCK).await?;
        Ok(note.and_then(|note| serde_json::from_str(&note).ok()))
    }
}

impl RetentionState {
    /// What the wall clock is worth, and whether that is to be remembered.
    fn judge(
        &mut self,
        now: &Reading,
        believed: Option<&Reading>,
        newest_ms: u64,
        event_retention_ms: u64,
    ) -> (WallClock, bool) {
        let is_behind = now.wall_ms < newest_ms;
        if is_behind != std::mem::replace(&mut self.is_behind, is_behind) && is_behind {
            tracing::warn!(
                wall_ms = now.wall_ms,
                newest_ms,
                "the clock is behind what is stored; nothing is removed until it is not",
            );
        }
        if is_behind {
            return (WallClock::Behind, false);
        }
        let same_boot = believed.filter(|reading| reading.boot_id == now.boot_id);
        let expected_ms = match same_boot {
            Some(reading) => reading.wall_ms + now.boot_ms.saturating_sub(reading.boot_ms),
            // How long the machine was off is not known, so that a step looks the same as a night.
            None if newest_ms > 0 => newest_ms,
            None => now.wall_ms,
        };
        if now.wall_ms <= expected_ms.saturating_add(STEP_MS_MAX) {
            self.doubted_since_ms = None;
            return (WallClock::Believed(now.wall_ms), same_boot.is_none());
        }
        let since_ms = *self.doubted_since_ms.get_or_insert_with(|| {
            tracing::warn!(
                wall_ms = now.wall_ms,
                expected_ms,
                "the clock is ahead of what was expected; nothing is removed by age for a while",
            );
            now.boot_ms
        });
        if now.boot_ms.saturating_sub(since_ms) < event_retention_ms.min(DOUBT_MS_MAX) {
            return (WallClock::Doubted, false);
        }
        self.doubted_since_ms = None;
        (WallClock::Believed(now.wall_ms), true)
    }
}
