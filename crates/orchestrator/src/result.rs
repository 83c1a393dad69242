use bytes::Bytes;
use orchestrator_core::TaskId;

use crate::{
    EventStore, EventStoreError, Region,
    generation::{Entry, read_entries},
};

/// The last result that attempts of a task left in its log, as JSON.
pub(crate) fn of_regions(
    events: &dyn EventStore,
    task: TaskId,
    regions: &[Region],
) -> Result<Option<Bytes>, EventStoreError> {
    for region in regions.iter().rev() {
        let frame = events.read(task, region)?;
        let mut entries = Vec::new();
        // The attempt that ended the task could read all of them.
        let is_read = read_entries(frame.generation, &mut entries).is_ok();
        let results = entries.into_iter().rev().filter(|_| is_read);
        let mut results = results.filter_map(|entry| match entry {
            Entry::Result(json) => Some(json),
            _ => None,
        });
        if let Some(json) = results.next() {
            return Ok(Some(json));
        }
    }
    Ok(None)
}
