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
    /// Identities with tasks of this group, in the order of their turns.
    ring: BTreeMap<u64, Key<Backlog>>,
    /// By sequence.
    tasks: BTreeMap<Key<Backlog>, BTreeSet<(u64, Key<Task>)>>,
}

/// The first task of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    /// Of its identity, then its sequence: the order of the rotation.
    pub(crate) order: (u64, u64),
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

    pub(crate) fn add(
        &mut self,
        request: &Arc<Request>,
        (backlog, turn): (Key<Backlog>, u64),
        (sequence, task): (u64, Key<Task>),
    ) {
        let index = self.find(request).unwrap_or_else(|| {
            let request = Arc::clone(request);
            self.groups.push(Group { request, ring: BTreeMap::new(), tasks: BTreeMap::new() });
            self.groups.len() - 1
        });
        let group = &mut self.groups[index];
        match group.tasks.get_mut(&backlog) {
            Some(tasks) => {
                tasks.insert((sequence, task));
            }
            None => {
                group.ring.insert(turn, backlog);
                group.tasks.insert(backlog, BTreeSet::from([(sequence, task)]));
            }
        }
    }

    pub(crate) fn remove(
        &mut self,
        request: &Arc<Request>,
        (backlog, turn): (Key<Backlog>, u64),
        (sequence, task): (u64, Key<Task>),
    ) {
        let index = self.find(request).expect("a queued task is in the group of its request");
        let group = &mut self.groups[index];
        let tasks = group.tasks.get_mut(&backlog).expect("the group has a task of the identity");
        tasks.remove(&(sequence, task));
        if tasks.is_empty() {
            group.tasks.remove(&backlog);
            group.ring.remove(&turn);
            if group.tasks.is_empty() {
                self.groups.swap_remove(index);
            }
        }
    }

    /// The identity's turn is another one now.
    pub(crate) fn turn(&mut self, from: u64, to: u64) {
        for group in &mut self.groups {
            if let Some(backlog) = group.ring.remove(&from) {
                group.ring.insert(to, backlog);
            }
        }
    }

    /// The first task of each group, in no promised order.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        self.groups.iter().map(|group| {
            let (turn, backlog) =
                group.ring.first_key_value().expect("a group without tasks is dropped");
            let (sequence, task) =
                *group.tasks[backlog].first().expect("an identity without tasks is dropped");
            Head { order: (*turn, sequence), task, request: &group.request }
        })
    }

    /// All tasks, in no promised order.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = Key<Task>> {
        let of_group = |group: &'_ Group| -> Vec<Key<Task>> {
            group.tasks.values().flatten().map(|(_, task)| *task).collect()
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
