use std::collections::BTreeMap;

use crate::{NewOperation, OperationId, OperationRecord, OperationState, Outcome, Progress};

/// How much a ledger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations that run at once.
    pub running_max: usize,
    /// Ended operations that are kept; the oldest go first.
    pub ended_max: usize,
    /// How long an ended operation is kept, in milliseconds.
    pub keep_ms: u64,
}

impl Default for Limits {
    /// 64 running, 1000 ended, 24 hours.
    fn default() -> Self {
        Self { running_max: 64, ended_max: 1000, keep_ms: 24 * 3_600_000 }
    }
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// It is a new operation, to be kept and run.
    New(Box<OperationRecord>),
    /// The same one runs already.
    Running(Box<OperationRecord>),
}

/// Why a wish was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// One of this kind and target runs that was asked for in another way.
    Busy { running: OperationId },
    /// As many run as may.
    Full { limit: usize },
}

/// All operations and the moves between their states: `running` to `succeeded`, `failed` or `canceled`, and
/// from there out of the ledger. Time and ids come in as arguments.
#[derive(Debug, Clone)]
pub struct Ledger {
    limits: Limits,
    records: BTreeMap<OperationId, OperationRecord>,
}

impl Ledger {
    /// A ledger that goes on from `records`.
    #[must_use]
    pub fn new(limits: Limits, records: impl IntoIterator<Item = OperationRecord>) -> Self {
        let records = records.into_iter().map(|record| (record.id, record)).collect();
        Self { limits, records }
    }

    /// Takes a wish in, under `id` if it becomes an operation.
    ///
    /// # Errors
    /// [`Refused`]; nothing changed then.
    pub fn admit(
        &mut self,
        wish: NewOperation,
        id: OperationId,
        now_ms: u64,
    ) -> Result<Admission, Refused> {
        let same = self.running().find(|it| it.kind == wish.kind && it.target == wish.target);
        if let Some(running) = same {
            if running.input == wish.input {
                return Ok(Admission::Running(Box::new(running.clone())));
            }
            return Err(Refused::Busy { running: running.id });
        }
        if self.running().count() >= self.limits.running_max {
            return Err(Refused::Full { limit: self.limits.running_max });
        }
        let record = OperationRecord {
            id,
            kind: wish.kind.to_owned(),
            target: wish.target,
            input: wish.input,
            state: OperationState::Running,
            progress: Progress::default(),
            result: None,
            error: None,
            correlation_id: wish.correlation_id,
            created_at_ms: now_ms,
            ended_at_ms: None,
        };
        self.records.insert(id, record.clone());
        Ok(Admission::New(Box::new(record)))
    }

    /// Forgets an operation that could not be kept, so that nobody was told of it.
    pub fn withdraw(&mut self, id: OperationId) {
        self.records.remove(&id);
    }

    /// Notes how far an operation is. One that has ended stays as it is.
    pub fn note(&mut self, id: OperationId, progress: Progress) {
        if let Some(record) = self.records.get_mut(&id)
            && record.state == OperationState::Running
        {
            record.progress = progress;
        }
    }

    /// What an operation would be after this end, for the store; none where it runs no more.
    #[must_use]
    pub fn ended(&self, id: OperationId, outcome: Outcome, now_ms: u64) -> Option<OperationRecord> {
        let record = self.records.get(&id).filter(|it| it.state == OperationState::Running)?;
        let mut record = OperationRecord { ended_at_ms: Some(now_ms), ..record.clone() };
        record.progress.estimated_ms = None;
        match outcome {
            Outcome::Succeeded(result) => {
                record.state = OperationState::Succeeded;
                record.result = Some(result);
            }
            Outcome::Failed(error) => {
                record.state = OperationState::Failed;
                record.error = Some(*error);
            }
            Outcome::Canceled => record.state = OperationState::Canceled,
        }
        Some(record)
    }

    /// Shows an end that the store has. An operation ends once.
    pub fn show(&mut self, ended: OperationRecord) {
        if let Some(record) = self.records.get_mut(&ended.id)
            && record.state == OperationState::Running
        {
            *record = ended;
        }
    }

    /// Drops what is older than may be, or more than may be, and says what that was.
    pub fn forget_old(&mut self, now_ms: u64) -> Vec<OperationId> {
        let keep_ms = self.limits.keep_ms;
        let mut ended: Vec<(u64, OperationId)> = self
            .records
            .values()
            .filter_map(|record| Some((record.ended_at_ms?, record.id)))
            .collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(self.limits.ended_max);
        let is_old = |at: u64| now_ms.saturating_sub(at) >= keep_ms;
        let gone = ended.into_iter().enumerate();
        let gone = gone.filter(|(index, (at, _))| *index < surplus || is_old(*at));
        let gone: Vec<OperationId> = gone.map(|(_, (_, id))| id).collect();
        for id in &gone {
            self.records.remove(id);
        }
        gone
    }

    /// One operation.
    #[must_use]
    pub fn get(&self, id: OperationId) -> Option<&OperationRecord> {
        self.records.get(&id)
    }

    /// All operations, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &OperationRecord> {
        self.records.values()
    }

    /// Operations that run, oldest first.
    pub fn running(&self) -> impl Iterator<Item = &OperationRecord> {
        self.iter().filter(|record| record.state == OperationState::Running)
    }
}
