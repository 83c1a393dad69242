use crate::{slab::Key, task::Task};

/// Children of a node: few levels, and siblings that stand side by side in memory.
const ARITY: usize = 4;

/// No place in the heap.
const NOWHERE: u32 = u32::MAX;

/// At most one timer a task, the earliest first; of equal instants the task with the smaller sequence. A heap
/// that knows where each task stands, as a timer is mostly taken back before it is due: setting, moving and
/// clearing one take O(log n), and mostly touch no more than the ends of the heap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    heap: Vec<Timer>,
    /// Where each task's timer stands, by the index of its key.
    places: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    at_ms: u64,
    sequence: u64,
    task: Key<Task>,
}

impl Timers {
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The earliest instant, and whose it is.
    pub(crate) fn first(&self) -> Option<(u64, Key<Task>)> {
        self.heap.first().map(|timer| (timer.at_ms, timer.task))
    }

    /// The instant that the task's timer is set to.
    pub(crate) fn of(&self, task: Key<Task>) -> Option<u64> {
        self.place(task).map(|place| self.heap[place].at_ms)
    }

    /// Sets the task's timer, or clears it.
    pub(crate) fn set(&mut self, task: Key<Task>, sequence: u64, at_ms: Option<u64>) {
        match (self.place(task), at_ms) {
            (None, None) => {}
            (Some(place), None) => self.remove(place),
            (None, Some(at_ms)) => {
                let index = task.index() as usize;
                if self.places.len() <= index {
                    self.places.resize(index + 1, NOWHERE);
                }
                self.heap.push(Timer { at_ms, sequence, task });
                self.rise(self.heap.len() - 1);
            }
            (Some(place), Some(at_ms)) if self.heap[place].at_ms != at_ms => {
                self.heap[place].at_ms = at_ms;
                let place = self.rise(place);
                self.sink(place);
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// Whether every timer stands behind its parent, where its task says that it stands.
    pub(crate) fn is_sound(&self) -> bool {
        let is_placed = |(place, timer): (usize, &Timer)| self.place(timer.task) == Some(place);
        let is_behind = |place: usize| self.heap[(place - 1) / ARITY] < self.heap[place];
        self.heap.iter().enumerate().all(is_placed) && (1..self.heap.len()).all(is_behind)
    }

    fn place(&self, task: Key<Task>) -> Option<usize> {
        let place = *self.places.get(task.index() as usize)?;
        (place != NOWHERE).then_some(place as usize)
    }

    fn remove(&mut self, place: usize) {
        let gone = self.heap.swap_remove(place);
        self.places[gone.task.index() as usize] = NOWHERE;
        if place < self.heap.len() {
            let place = self.rise(place);
            self.sink(place);
        }
    }

    /// Moves the timer before the parents that it comes before; gives its place then.
    fn rise(&mut self, mut place: usize) -> usize {
        let timer = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.heap[parent] < timer {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, timer);
        place
    }

    /// Moves the timer behind the children that come before it.
    fn sink(&mut self, mut place: usize) {
        let timer = self.heap[place];
        loop {
            let first = place * ARITY + 1;
            let children = first.min(self.heap.len())..(first + ARITY).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.heap[*child]) else { break };
            if timer < self.heap[least] {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, timer);
    }

    fn put(&mut self, place: usize, timer: Timer) {
        self.heap[place] = timer;
        self.places[timer.task.index() as usize] =
            u32::try_from(place).expect("there is no more than one timer for each key");
    }
}
