use super::{ResourceId, RunSlot};

/// Place of an attempt among those that hold a permit.
pub(super) type RunningPlace = u32;

/// Attempts that hold a permit, so that somebody can be shown them. Adding and removing one costs no search.
#[derive(Debug, Default)]
pub(super) struct RunningAttempts {
    places: Vec<Option<RunningEntry>>,
    free: Vec<RunningPlace>,
}

/// An attempt that holds a permit.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunningEntry {
    pub(super) run: RunSlot,
    pub(super) resource: ResourceId,
    pub(super) since_ns: u64,
}

impl RunningAttempts {
    pub(super) fn add(&mut self, entry: RunningEntry) -> RunningPlace {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(entry);
            return place;
        }
        self.places.push(Some(entry));
        RunningPlace::try_from(self.places.len() - 1)
            .expect("there are fewer permits than bytes of memory")
    }

    pub(super) fn remove(&mut self, place: RunningPlace) {
        if self.places[place as usize].take().is_some() {
            self.free.push(place);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RunningEntry> {
        self.places.iter().flatten()
    }
}
