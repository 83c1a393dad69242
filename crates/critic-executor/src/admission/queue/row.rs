//! The waiters of one run, in their lanes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{self, Unbounded};

use super::{ColumnId, RunSlot};
use crate::admission::offer::Offer;

/// One critic that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) run: RunSlot,
    pub(crate) critic: u32,
    pub(crate) priority: u8,
    pub(crate) arrival_ns: u64,
    pub(crate) column: ColumnId,
    /// Whether it may have to wait for the run's reservations.
    pub(crate) is_costly: bool,
}

impl Waiter {
    pub(super) fn lane(&self) -> LaneKey {
        LaneKey { column: self.column, is_costly: self.is_costly }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneKey {
    pub(super) column: ColumnId,
    pub(super) is_costly: bool,
}

/// A shown lane's place among all; the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) effective_priority: u8,
    pub(super) held: u32,
    pub(super) arrival_ns: u64,
    pub(super) critic: u32,
    pub(super) run_number: u64,
    pub(super) run: RunSlot,
    pub(super) priority: u8,
    pub(super) lane: LaneKey,
}

impl Rank {
    pub(super) fn waiter(&self) -> Waiter {
        Waiter {
            run: self.run,
            critic: self.critic,
            priority: self.priority,
            arrival_ns: self.arrival_ns,
            column: self.lane.column,
            is_costly: self.lane.is_costly,
        }
    }
}

/// The first waiter of a lane, by its arrival and place in the plan.
pub(super) type Head = (u64, u32, LaneKey);

/// Waiters by arrival and place in the plan. Nearly all come in this order and go from the front; another one, such
/// as a retry with its old arrival, makes room for itself, at the cost of a move of those on the shorter side.
#[derive(Debug, Default)]
pub(super) struct Lane(pub(super) VecDeque<Offer>);

impl Lane {
    pub(super) fn first(&self) -> Option<Key> {
        self.0.front().map(key_of)
    }

    pub(super) fn last(&self) -> Option<Key> {
        self.0.back().map(key_of)
    }

    pub(super) fn insert(&mut self, offer: Offer) {
        let key = key_of(&offer);
        let is_newest = self.last().is_none_or(|last| last < key);
        let place = if is_newest { Err(self.0.len()) } else { self.place_of(key) };
        if let Err(place) = place {
            self.0.insert(place, offer);
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&Offer> {
        self.place_of(key).ok().and_then(|place| self.0.get(place))
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Offer> {
        self.place_of(key).ok().and_then(|place| self.0.remove(place))
    }

    fn place_of(&self, key: Key) -> Result<usize, usize> {
        if self.first() == Some(key) {
            return Ok(0);
        }
        self.0.binary_search_by_key(&key, key_of)
    }
}

/// A waiter's place in its lane.
type Key = (u64, u32);

fn key_of(offer: &Offer) -> Key {
    (offer.arrival_ns, offer.critic)
}

/// The waiters of one run and priority.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) lanes: BTreeMap<LaneKey, Lane>,
    /// The first waiter of each lane.
    pub(super) heads: BTreeSet<Head>,
    pub(super) shown: Vec<Rank>,
}

/// What the queue knows of a run.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) slot: RunSlot,
    pub(super) number: u64,
    pub(super) held: u32,
    pub(super) last_grant_ns: u64,
    /// Its costly waiters wait for reservations to be settled.
    pub(super) holds_costly: bool,
    pub(super) lines: [Line; 10],
    pub(super) promotion_ns: Option<u64>,
    pub(super) waiting: usize,
    /// What it shows is out of date, and it is in [`WaitQueue::stale`].
    pub(super) is_stale: bool,
}

impl Row {
    /// The lanes of one of its lines that may be granted something, in order of arrival.
    pub(super) fn heads_after<'a>(
        &'a self,
        line: &'a Line,
        after: Bound<Head>,
    ) -> impl Iterator<Item = &'a Head> {
        let heads = line.heads.range((after, Unbounded));
        heads.filter(|(_, _, lane)| !(self.holds_costly && lane.is_costly))
    }
}
