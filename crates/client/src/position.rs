use api_types::ErrorCode;

use crate::{EventBody, StreamFault, TaskEvent};

/// The type of events without one, as the standard names it.
const UNNAMED: &str = "message";

/// How far a task's events have been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// Id of the last event that was handed out; 0 before the first.
    pub(crate) last: u64,
}

impl Position {
    /// Takes the next event of the stream, which must be the next one of the task (ORCH-073).
    pub(crate) fn advance(&mut self, event: sse::Event) -> Result<TaskEvent, StreamFault> {
        let name = event.event.unwrap_or_else(|| UNNAMED.to_owned());
        let body = EventBody::read(&name, &event.data)?;
        // The standard lets an event without an id show the one before it.
        let shown = event.id.as_deref().map(number).transpose()?;
        let id = match &body {
            EventBody::Metrics(_) => None,
            EventBody::Unknown => shown.filter(|&id| id != self.last),
            _ => Some(shown.ok_or_else(|| StreamFault::IdMissing { event: name.clone() })?),
        };
        if let Some(found) = id {
            let expected = self.last.saturating_add(1);
            if found < expected {
                return Err(StreamFault::Repeated { last: self.last, found });
            }
            if found > expected && !may_leave_a_gap(&body) {
                return Err(StreamFault::Gap { expected, found });
            }
            self.last = found;
        }
        Ok(TaskEvent { id, name, data: event.data, body })
    }
}

/// The one exception: after an unclean reboot, ids that may have been shown stay unused (ORCH-094).
fn may_leave_a_gap(body: &EventBody) -> bool {
    matches!(body, EventBody::Error(error) if error.code == ErrorCode::ContinuationMismatch)
}

fn number(text: &str) -> Result<u64, StreamFault> {
    text.parse().map_err(|_not_a_number| StreamFault::Id { text: text.to_owned() })
}
