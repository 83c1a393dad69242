use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use api_types::{ErrorCode, TaskState};
use narration::{Fact, human};
use orchestrator_core::{Event, Restored, TaskId};

use crate::{
    FrameKind, Outcome, Record, Region, StoredFrame, TaskRow,
    ending::{Counted, Ending, finish, task_error},
    generation::{Entry, read_entries},
    live_task::LiveTask,
    run::alone_after_ms,
    shared::Shared,
    task_log::TaskLog,
};

/// Note: which boot the last process ran under.
pub(crate) const NOTE_BOOT: &str = "boot_id";

/// Note: whether the last process ended in order.
pub(crate) const NOTE_CLEAN: &str = "clean";

/// Note: up to which event clients may have seen tasks that lost events with the power, by task id.
const NOTE_SHOWN: &str = "shown_until";

/// Notes of a journal that was restored from a backup, by name and value: clients may have seen more than it
/// knows of, as after lost power.
pub const RESTORED_NOTES: [(&str, &str); 2] = [(NOTE_BOOT, "restored"), (NOTE_CLEAN, "false")];

/// Why the state of a former process could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("cannot read the tasks of the last run")]
    Journal(#[from] crate::JournalError),
    #[error("cannot read the events of the last run")]
    Events(#[from] crate::EventStoreError),
}

/// What the log of one task gave.
#[derive(Default)]
struct Found {
    regions: Vec<Region>,
    /// Highest attempt that showed progress.
    progressed_attempt: u32,
}

/// Takes over every task that the last process left: queued ones in their order, running ones ahead of
/// them.
pub(crate) async fn recover(shared: &Arc<Shared>) -> Result<(), RecoveryError> {
    let mut rows = shared.journal.live_tasks().await?;
    let boot_id = shared.clock.boot_id().to_owned();
    let former_boot = shared.journal.note(NOTE_BOOT).await?;
    let was_clean = shared.journal.note(NOTE_CLEAN).await?.as_deref() == Some("true");
    let lost_power = !was_clean && former_boot.is_some_and(|former| former != boot_id);

    let mut found: HashMap<TaskId, Found> = HashMap::new();
    let first_segment = rows.iter().filter_map(|row| row.progress.first_segment).min();
    let from_segment = first_segment.unwrap_or_else(|| shared.events.current_segment());
    let wanted: std::collections::HashSet<TaskId> = rows.iter().map(|row| row.id).collect();
    shared.events.recover(
        from_segment,
        &mut |task| wanted.contains(&task),
        &mut |task, region, frame: StoredFrame| {
            let found = found.entry(task).or_default();
            found.regions.push(region);
            // What is known already is not read again: of a long answer that is nearly all there is.
            let is_later = frame.attempt > found.progressed_attempt;
            if is_later && (frame.kind == FrameKind::Replayed || holds_output(frame.generation)) {
                found.progressed_attempt = frame.attempt;
            }
        },
    )?;
    let shown_until = shown_until(shared, &rows, lost_power).await?;
    // One commit, so that a death in the middle of this neither forgets nor counts anything twice.
    let mut records = vec![
        Record::Note { name: NOTE_BOOT, value: boot_id },
        Record::Note { name: NOTE_CLEAN, value: "false".to_owned() },
        Record::Note {
            name: NOTE_SHOWN,
            value: serde_json::to_string(&shown_until).expect("a map of numbers is JSON"),
        },
    ];
    for row in &mut rows {
        let progressed = found.get(&row.id).map_or(0, |found| found.progressed_attempt);
        if row.state == TaskState::Running {
            interrupt(shared, row, progressed, was_clean);
            let progress = Box::new(row.progress.clone());
            records.push(Record::Moved { task: row.id, state: row.state, progress });
        }
    }
    shared.journal.commit(records).await?;

    let count = rows.len();
    for row in rows {
        let found = found.remove(&row.id).unwrap_or_default();
        let shown_until = shown_until.get(&row.id.to_string()).copied().unwrap_or_default();
        take_over(shared, row, found, shown_until).await;
    }
    if count > 0 {
        let tasks = count as u64;
        tracing::info!(event = "recovered", tasks, human = human(&Fact::Recovered { tasks }));
    }
    Ok(())
}

/// Whether a frame's generation part holds output, and not only what surrounds it.
fn holds_output(generation: bytes::Bytes) -> bool {
    let mut entries = Vec::new();
    // What cannot be read ends the task at its next attempt, with the reason.
    let is_read = read_entries(generation, &mut entries).is_ok();
    is_read && entries.iter().any(|entry| matches!(entry, Entry::Output(_)))
}

/// Up to which event clients may have seen each task that lost some with the power, now or before.
async fn shown_until(
    shared: &Shared,
    rows: &[TaskRow],
    lost_power: bool,
) -> Result<BTreeMap<String, u64>, RecoveryError> {
    let note = shared.journal.note(NOTE_SHOWN).await?;
    // A note that cannot be read is another version's; what it said can only be guessed.
    let before: BTreeMap<String, u64> =
        note.and_then(|note| serde_json::from_str(&note).ok()).unwrap_or_default();
    let of = |row: &TaskRow| {
        let id = row.id.to_string();
        let now = if lost_power { row.progress.ids_reserved } else { 0 };
        let shown = before.get(&id).copied().unwrap_or(0).max(now);
        (shown > 0).then_some((id, shown))
    };
    Ok(rows.iter().filter_map(of).collect())
}

/// Notes the end of the attempt in whose middle the process ended.
fn interrupt(shared: &Shared, row: &mut TaskRow, progressed_attempt: u32, was_clean: bool) {
    row.state = TaskState::Queued;
    let attempts = u32::try_from(row.progress.attempts.len()).unwrap_or(u32::MAX);
    let Some(attempt) = row.progress.attempts.last_mut() else { return };
    attempt.outcome = Some(Outcome::Interrupted);
    attempt.ended_at_ms = Some(shared.clock.wall_ms());
    if attempt.in_process && !was_clean {
        let ends = &mut row.progress.poison.daemon_ends;
        *ends = if progressed_attempt >= attempts { 1 } else { *ends + 1 };
    }
}

async fn take_over(shared: &Arc<Shared>, row: TaskRow, found: Found, shown_until: u64) {
    let log = TaskLog::new(row.id, Arc::clone(&shared.events), shared.options().ring_bytes);
    for region in found.regions {
        log.restore(region);
    }
    let has_run = !row.progress.attempts.is_empty();
    let poison = row.progress.poison;
    let deaths = poison.daemon_ends;
    let live = Arc::new(LiveTask::new(row, Arc::new(log), shown_until));
    shared.remember(Arc::clone(&live));
    if deaths >= shared.options().poison_limit {
        let message = "the daemon died under this task again and again; it is not tried any more";
        let mut error = task_error(&live, ErrorCode::ReplicaExhausted, message);
        error.details = Some(serde_json::json!({ "suspect": true, "daemon_ends": deaths }));
        finish(shared, &live, Ending::failed(error, Outcome::Interrupted, Counted::default()))
            .await;
        return;
    }
    let alone = poison.is_suspect();
    if let Ok(facts) = shared.models.resolve(&live.spec.model_id) {
        shared.note_model(&facts);
    }
    let wait_ms = if alone { alone_after_ms(deaths) } else { 0 };
    let restored = Restored {
        offer: live.offer(&*shared.clock, &shared.options()),
        requeued: has_run,
        not_before_ms: shared.clock.boot_ms() + wait_ms,
    };
    match live.spec.cancel_when_alone_ms {
        // Its client has to come back before it costs anything more.
        Some(reattach_ms) => {
            shared.park(restored);
            shared.cancel_when_alone(&live, reattach_ms);
        }
        None => {
            shared.step(Event::Restored(restored));
        }
    }
}
