use std::collections::BTreeMap;

/// What will happen, by virtual time; what was put in first comes first among equals.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    entries: BTreeMap<(u64, u64), T>,
    next: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn add(&mut self, at_ms: u64, entry: T) {
        self.entries.insert((at_ms, self.next), entry);
        self.next += 1;
    }

    /// The next entry and its instant.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        self.entries.pop_first().map(|((at_ms, _), entry)| (at_ms, entry))
    }
}
