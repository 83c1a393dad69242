use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use placement::Request;

use crate::{lane::Backlog, slab::Key, task::Task};

/// The tasks of a rotation by what they ask of a replica: those of a group can use the same slots, so that
/// only the first of each has to be looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanting {
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
struct Group {
    request: Arc<Request>,
    /// Identities with tasks of this group, in the order in which the first of these would start.
    ring: BTreeMap<Place, Key<Backlog>>,
    tasks: BTreeMap<Key<Backlog>, Own>,
}

/// What one identity has in a group.
#[derive(Debug, Clone)]
struct Own {
    place: Place,
    /// By sequence.
    tasks: BTreeSet<(u64, Key<Task>)>,
}

/// Where a task stands in the rotation: in which round of turns, which is how many tasks its identity has
/// before it, of whatever group; and the identity's turn in each round.
pub(crate) type Place = (u64, u64);

/// The first task of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) place: Place,
    pub(crate) task: Key<Task>,
    pub(crate) request: &'a Request,
}

impl Wanting {
    /// `request` as this index holds it, so that equal ones are kept once.
    pub(crate) fn shared(&self, request: Arc<Request>) -> Arc<Request> {
        match self.find(&request) {
            Some(index) => Arc::clone(&self.groups[index].request),
            None => request,
        }
    }

    /// Adds a task. `rank` tells how many tasks its identity has before a sequence, with this one.
    pub(crate) fn add(
        &mut self,
        request: &Arc<Request>,
        (backlog, turn): (Key<Backlog>, u64),
        (sequence, task): (u64, Key<Task>),
        rank: impl Fn(u64) -> u64,
    ) {
        let index = self.find(request).unwrap_or_else(|| {
            let request = Arc::clone(request);
            self.groups.push(Group { request, ring: BTreeMap::new(), tasks: BTreeMap::new() });
            self.groups.len() - 1
        });
        let group = &mut self.groups[index];
        match group.tasks.get_mut(&backlog) {
            Some(own) => {
                own.tasks.insert((sequence, task));
            }
            None => {
                let place = (rank(sequence), turn);
                group.ring.insert(place, backlog);
                let tasks = BTreeSet::from([(sequence, task)]);
                group.tasks.insert(backlog, Own { place, tasks });
            }
        }
        self.settle((backlog, turn), rank);
    }

    /// Takes a task out. `rank` tells how many tasks its identity has before a sequence, without this one.
    pub(crate) fn remove(
        &mut self,
        request: &Arc<Request>,
        (backlog, turn): (Key<Backlog>, u64),
        (sequence, task): (u64, Key<Task>),
        rank: impl Fn(u64) -> u64,
    ) {
        let index = self.find(request).expect("a queued task is in the group of its request");
        let group = &mut self.groups[index];
        let own = group.tasks.get_mut(&backlog).expect("the group has a task of the identity");
        own.tasks.remove(&(sequence, task));
        if own.tasks.is_empty() {
            group.ring.remove(&own.place);
            group.tasks.remove(&backlog);
            if group.tasks.is_empty() {
                self.groups.swap_remove(index);
            }
        }
        self.settle((backlog, turn), rank);
    }

    /// The identity's turn or tasks are others now. `rank` tells how many of them stand before a sequence.
    pub(crate) fn settle(
        &mut self,
        (backlog, turn): (Key<Backlog>, u64),
        rank: impl Fn(u64) -> u64,
    ) {
        // Where all tasks ask for the same, the first of the group is the first of all.
        let is_only = self.groups.len() == 1;
        for group in &mut self.groups {
            let Some(own) = group.tasks.get_mut(&backlog) else { continue };
            let (sequence, _) = own.tasks.first().expect("an identity without tasks is dropped");
            let place = (if is_only { 0 } else { rank(*sequence) }, turn);
            if own.place != place {
                group.ring.remove(&own.place);
                group.ring.insert(place, backlog);
                own.place = place;
            }
        }
    }

    /// The first task of each group, in no promised order.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        self.groups.iter().map(|group| {
            let (place, backlog) =
                group.ring.first_key_value().expect("a group without tasks is dropped");
            let first = group.tasks[backlog].tasks.first();
            let (_, task) = *first.expect("an identity without tasks is dropped");
            Head { place: *place, task, request: &group.request }
        })
    }

    /// Whether all stand where they are to. `place` tells of an identity's task of a sequence.
    pub(crate) fn is_settled(&self, place: impl Fn(Key<Backlog>, u64) -> Place) -> bool {
        self.groups.iter().all(|group| {
            group.ring.len() == group.tasks.len()
                && group.tasks.iter().all(|(backlog, own)| {
                    let first = own.tasks.first();
                    first.is_some_and(|(sequence, _)| place(*backlog, *sequence) == own.place)
                        && group.ring.get(&own.place) == Some(backlog)
                })
        })
    }

    /// All tasks, in no promised order.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = Key<Task>> {
        let of_group = |group: &'_ Group| -> Vec<Key<Task>> {
            group.tasks.values().flat_map(|own| &own.tasks).map(|(_, task)| *task).collect()
        };
        self.groups.iter().flat_map(of_group)
    }

    fn find(&self, request: &Arc<Request>) -> Option<usize> {
        self.groups.iter().position(|group| is_same(&group.request, request))
    }
}

pub(crate) fn is_same(one: &Arc<Request>, other: &Arc<Request>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}
