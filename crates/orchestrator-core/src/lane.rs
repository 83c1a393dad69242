use std::{collections::BTreeMap, sync::Arc};

use placement::Request;

use crate::{
    Identity,
    order_tree::{Forest, Tree},
    queued_work::QueuedWork,
    slab::{Key, Slab},
    task::Task,
    wanting::{Head, Wanting, is_same},
};

/// The queue of one class of one model, in the order of ORCH-043: re-queued tasks by sequence, then
/// identities in rotation, each identity's tasks by sequence.
///
/// An identity takes its turn behind all others when its first task is offered, and again after each
/// of its tasks that starts, so that the backlog of one delays another by at most one task per identity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    /// Re-queued tasks that may start, by what they ask for: the tasks of a group can use the same slots.
    again: Vec<Group>,
    /// Re-queued tasks that may not start yet.
    delayed: Tree,
    /// Identities with reserved or queued tasks.
    identities: BTreeMap<Identity, Key<Backlog>>,
    backlogs: Slab<Backlog>,
    /// Identities with queued tasks, in the order of their turns.
    ring: BTreeMap<u64, Key<Backlog>>,
    /// The tasks in rotation by what they ask for.
    wanting: Wanting,
    next_turn: u64,
    /// All queued tasks of the lane.
    queued: u64,
    /// What they are together.
    work: QueuedWork,
}

#[derive(Debug, Clone)]
struct Group {
    request: Arc<Request>,
    tasks: Tree,
}

/// What one identity has waiting, re-queued tasks aside.
#[derive(Debug, Clone)]
pub(crate) struct Backlog {
    identity: Identity,
    turn: u64,
    tasks: Tree,
    reserved: u64,
}

impl Lane {
    pub(crate) fn queued(&self) -> u64 {
        self.queued
    }

    pub(crate) fn work(&self) -> &QueuedWork {
        &self.work
    }

    pub(crate) fn work_mut(&mut self) -> &mut QueuedWork {
        &mut self.work
    }

    /// What `identity` has waiting. Gives it a turn if it has none, for a task that is queued or reserved
    /// with the next call.
    pub(crate) fn backlog_of(&mut self, identity: &Identity) -> Key<Backlog> {
        if let Some(backlog) = self.identities.get(identity) {
            return *backlog;
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        let identity = identity.clone();
        let tasks = Tree::default();
        let new = Backlog { identity: identity.clone(), turn, tasks, reserved: 0 };
        let backlog = self.backlogs.insert(new);
        self.identities.insert(identity, backlog);
        backlog
    }

    /// Keeps the backlog, and with it the turn, for a task that will be queued or withdrawn.
    pub(crate) fn reserve(&mut self, backlog: Key<Backlog>) {
        self.backlogs[backlog].reserved += 1;
    }

    /// The reserved task is withdrawn, or is being queued.
    pub(crate) fn unreserve(&mut self, backlog: Key<Backlog>) {
        self.backlogs[backlog].reserved -= 1;
        self.forget_if_idle(backlog);
    }

    pub(crate) fn push_fresh(
        &mut self,
        forest: &mut Forest,
        key: Key<Backlog>,
        task: Key<Task>,
        (sequence, since_ms): (u64, u64),
        request: &Arc<Request>,
    ) {
        let backlog = &mut self.backlogs[key];
        let is_first = backlog.tasks.is_empty();
        forest.insert(&mut backlog.tasks, task, sequence, since_ms);
        let turn = backlog.turn;
        if is_first {
            self.ring.insert(turn, key);
        }
        self.wanting.add(request, (key, turn), (sequence, task));
        self.queued += 1;
    }

    /// Takes a task out that will not start.
    pub(crate) fn remove_fresh(
        &mut self,
        forest: &mut Forest,
        key: Key<Backlog>,
        task: Key<Task>,
        sequence: u64,
        request: &Arc<Request>,
    ) {
        let backlog = &mut self.backlogs[key];
        self.wanting.remove(request, (key, backlog.turn), (sequence, task));
        forest.remove(&mut backlog.tasks, task);
        if backlog.tasks.is_empty() {
            self.ring.remove(&backlog.turn);
            self.forget_if_idle(key);
        }
        self.queued -= 1;
    }

    /// Takes a task out that starts: its identity goes behind all others.
    pub(crate) fn start_fresh(
        &mut self,
        forest: &mut Forest,
        key: Key<Backlog>,
        task: Key<Task>,
        sequence: u64,
        request: &Arc<Request>,
    ) {
        self.remove_fresh(forest, key, task, sequence, request);
        let turn = self.next_turn;
        if let Some(backlog) = self.backlogs.get_mut(key) {
            self.next_turn += 1;
            let from = std::mem::replace(&mut backlog.turn, turn);
            if let Some(key) = self.ring.remove(&from) {
                self.ring.insert(turn, key);
            }
            self.wanting.turn(from, turn);
        }
    }

    pub(crate) fn push_again(
        &mut self,
        forest: &mut Forest,
        request: &Arc<Request>,
        task: Key<Task>,
        (sequence, since_ms): (u64, u64),
    ) {
        let index = self.find_again(request).unwrap_or_else(|| {
            self.again.push(Group { request: Arc::clone(request), tasks: Tree::default() });
            self.again.len() - 1
        });
        forest.insert(&mut self.again[index].tasks, task, sequence, since_ms);
        self.queued += 1;
    }

    pub(crate) fn remove_again(
        &mut self,
        forest: &mut Forest,
        request: &Arc<Request>,
        task: Key<Task>,
    ) {
        let index = self.find_again(request);
        let index = index.expect("a re-queued task is in the group of its request");
        forest.remove(&mut self.again[index].tasks, task);
        if self.again[index].tasks.is_empty() {
            self.again.remove(index);
        }
        self.queued -= 1;
    }

    pub(crate) fn push_delayed(
        &mut self,
        forest: &mut Forest,
        task: Key<Task>,
        (sequence, since_ms): (u64, u64),
    ) {
        forest.insert(&mut self.delayed, task, sequence, since_ms);
        self.queued += 1;
    }

    pub(crate) fn remove_delayed(&mut self, forest: &mut Forest, task: Key<Task>) {
        forest.remove(&mut self.delayed, task);
        self.queued -= 1;
    }

    /// `request` as the queue holds it, so that equal ones are kept once.
    pub(crate) fn shared(&self, request: Arc<Request>) -> Arc<Request> {
        match self.find_again(&request) {
            Some(index) => Arc::clone(&self.again[index].request),
            None => self.wanting.shared(request),
        }
    }

    /// A queued task in rotation asks for something else.
    pub(crate) fn change_fresh(
        &mut self,
        backlog: Key<Backlog>,
        (sequence, task): (u64, Key<Task>),
        (from, to): (&Arc<Request>, &Arc<Request>),
    ) {
        let turn = self.backlogs[backlog].turn;
        self.wanting.remove(from, (backlog, turn), (sequence, task));
        self.wanting.add(to, (backlog, turn), (sequence, task));
    }

    fn find_again(&self, request: &Arc<Request>) -> Option<usize> {
        self.again.iter().position(|group| is_same(&group.request, request))
    }

    /// The first task of each group of re-queued tasks that may start, with what the group asks for.
    pub(crate) fn again_heads<'a>(
        &'a self,
        forest: &'a Forest,
    ) -> impl Iterator<Item = (Key<Task>, &'a Request)> {
        self.again.iter().map(|group| {
            let head = forest.first(group.tasks).expect("a group without tasks is dropped");
            (head, &*group.request)
        })
    }

    /// The next task in rotation.
    pub(crate) fn fresh_head(&self, forest: &Forest) -> Option<Key<Task>> {
        let (_turn, backlog) = self.ring.first_key_value()?;
        forest.first(self.backlogs[*backlog].tasks)
    }

    /// The next task in rotation of those that ask for the same, for each thing that is asked for.
    pub(crate) fn fresh_heads(&self) -> impl Iterator<Item = Head<'_>> {
        self.wanting.heads()
    }

    /// Re-queued tasks of this lane before `sequence`, those included that may not start yet: they keep
    /// their places.
    pub(crate) fn again_rank(&self, forest: &Forest, sequence: u64) -> u64 {
        let ready: u64 = self.again.iter().map(|group| forest.rank(group.tasks, sequence)).sum();
        ready + forest.rank(self.delayed, sequence)
    }

    /// Re-queued tasks of this lane.
    pub(crate) fn again_len(&self, forest: &Forest) -> u64 {
        let ready: u64 = self.again.iter().map(|group| forest.len(group.tasks)).sum();
        ready + forest.len(self.delayed)
    }

    /// Tasks of this lane before the backlog's task `sequence`, which is in rotation or reserved.
    pub(crate) fn fresh_rank(&self, forest: &Forest, own: Key<Backlog>, sequence: u64) -> u64 {
        let Backlog { turn, tasks, .. } = self.backlogs[own];
        self.rank_in_turns(forest, turn, forest.rank(tasks, sequence))
    }

    /// Tasks of this lane before the next one of `identity`.
    pub(crate) fn newcomer_rank(&self, forest: &Forest, identity: &Identity) -> u64 {
        match self.identities.get(identity) {
            Some(own) => {
                let Backlog { turn, tasks, .. } = self.backlogs[*own];
                self.rank_in_turns(forest, turn, forest.len(tasks))
            }
            None => self.rank_in_turns(forest, self.next_turn, 0),
        }
    }

    /// Tasks of this lane before the one that has `round` tasks of its own identity before it, whose turn is
    /// `own`.
    fn rank_in_turns(&self, forest: &Forest, own: u64, round: u64) -> u64 {
        // Its turn comes once per round; whoever is ahead of it in the ring has had one turn more.
        let before = |(turn, other): (&u64, &Key<Backlog>)| {
            forest.len(self.backlogs[*other].tasks).min(round + u64::from(*turn < own))
        };
        let others = self.ring.iter().filter(|(turn, _)| **turn != own).map(before);
        self.again_len(forest) + round + others.sum::<u64>()
    }

    /// Whose the first `tasks` tasks of this lane are: re-queued ones, then by identity in the order of turns.
    pub(crate) fn first(&self, forest: &Forest, tasks: u64) -> Vec<(Option<Identity>, u64)> {
        let again = self.again_len(forest).min(tasks);
        let mut left = tasks - again;
        let queues = || {
            let backlogs = self.ring.values().map(|backlog| &self.backlogs[*backlog]);
            backlogs.map(|backlog| (&backlog.identity, forest.len(backlog.tasks)))
        };
        // Whole rounds of turns: each identity has as many starts in them, or all that it has queued.
        let in_rounds = |rounds: u64| queues().map(|(_, queued)| queued.min(rounds)).sum::<u64>();
        let (mut rounds, mut too_many) = (0, left + 1);
        while too_many - rounds > 1 {
            let middle = u64::midpoint(rounds, too_many);
            if in_rounds(middle) <= left { rounds = middle } else { too_many = middle }
        }
        left -= in_rounds(rounds);
        let mut first = vec![(None, again)];
        for (identity, queued) in queues() {
            let has_one_more = left > 0 && queued > rounds;
            left -= u64::from(has_one_more);
            let starts = queued.min(rounds) + u64::from(has_one_more);
            first.push((Some(identity.clone()), starts));
        }
        first.retain(|(_, starts)| *starts > 0);
        first
    }

    /// How many tasks of this lane start, in its order, until none of those that may start waits since
    /// `until_ms` or longer.
    pub(crate) fn starts_until_younger(&self, forest: &Forest, until_ms: u64) -> u64 {
        let last_in_turn = self.ring.iter().filter_map(|(turn, backlog)| {
            let last = forest.last_since(self.backlogs[*backlog].tasks, until_ms)?;
            Some((last.rank, *turn))
        });
        if let Some((round, turn)) = last_in_turn.max() {
            return self.rank_in_turns(forest, turn, round) + 1;
        }
        let again = self.again.iter();
        let last = again.filter_map(|group| forest.last_since(group.tasks, until_ms));
        let last = last.map(|last| last.sequence).max();
        last.map_or(0, |sequence| self.again_rank(forest, sequence) + 1)
    }

    /// All queued tasks, in no promised order.
    pub(crate) fn tasks(&self, forest: &Forest) -> Vec<Key<Task>> {
        let fresh = self.backlogs.iter().map(|(_, backlog)| backlog.tasks);
        let again = self.again.iter().map(|group| group.tasks);
        let trees = fresh.chain(again).chain([self.delayed]);
        trees.flat_map(|tree| forest.tasks(tree)).collect()
    }

    /// Whether the tasks in rotation are exactly those that are listed by what they ask for.
    pub(crate) fn is_wanting_sound(&self, forest: &Forest) -> bool {
        let backlogs = self.backlogs.iter();
        let mut fresh: Vec<_> =
            backlogs.flat_map(|(_, backlog)| forest.tasks(backlog.tasks)).collect();
        let mut wanting: Vec<_> = self.wanting.tasks().collect();
        fresh.sort();
        wanting.sort();
        fresh == wanting
    }

    /// Whether the ring holds exactly the identities with queued tasks, at their turns, and each backlog is
    /// that of its identity.
    pub(crate) fn is_ring_sound(&self) -> bool {
        let waiting = self.backlogs.iter().filter(|(_, backlog)| !backlog.tasks.is_empty());
        let of_identity = |backlog: &Backlog| self.identities.get(&backlog.identity).copied();
        waiting.clone().count() == self.ring.len()
            && { waiting }.all(|(key, backlog)| self.ring.get(&backlog.turn) == Some(&key))
            && self.identities.len() == self.backlogs.len()
            && self.backlogs.iter().all(|(key, backlog)| of_identity(backlog) == Some(key))
    }

    fn forget_if_idle(&mut self, key: Key<Backlog>) {
        let backlog = &self.backlogs[key];
        if backlog.reserved == 0 && backlog.tasks.is_empty() {
            let backlog = self.backlogs.remove(key);
            self.identities.remove(&backlog.identity);
        }
    }
}
