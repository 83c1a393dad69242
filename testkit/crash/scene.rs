use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{job::Job, options::Engine, task::Task};

/// What all threads of a run share.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    pub(crate) seed: u64,
    /// What has ended is deleted after a while.
    pub(crate) forgets: bool,
    /// Jobs beyond these are not taken.
    jobs_max: Option<u64>,
    next_job: AtomicU64,
    is_winding_down: AtomicBool,
    is_given_up: AtomicBool,
    tried: Mutex<BTreeMap<String, Tried>>,
    violations: Mutex<Vec<String>>,
    pub(crate) counters: Counters,
}

/// A job that was handed in at least once.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    pub(crate) job: Job,
    /// The task, once it was acknowledged.
    pub(crate) task: Option<Arc<Task>>,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Events that nobody had seen before.
    pub(crate) events: AtomicU64,
    /// Streams that were opened.
    pub(crate) streams: AtomicU64,
    /// Streams that broke before their end.
    pub(crate) broken_streams: AtomicU64,
    /// Acknowledgements that repeated an earlier one.
    pub(crate) replays: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Scene {
    pub(crate) fn new(
        address: SocketAddr,
        engine: Engine,
        seed: u64,
        forgets: bool,
        jobs_max: Option<u64>,
    ) -> Self {
        Self {
            address,
            engine,
            seed,
            forgets,
            jobs_max,
            next_job: AtomicU64::new(0),
            is_winding_down: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            tried: Mutex::default(),
            violations: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// The next job, while there are some.
    pub(crate) fn next_job(&self) -> Option<(u64, Job)> {
        let number = self.next_job.fetch_add(1, Ordering::Relaxed);
        let is_wanted = match self.jobs_max {
            Some(jobs_max) => number < jobs_max,
            None => !self.is_winding_down.load(Ordering::Relaxed),
        };
        let job =
            (is_wanted && !self.is_given_up()).then(|| Job::new(self.engine, self.seed, number))?;
        self.tried().insert(job.key.clone(), Tried { job: job.clone(), task: None });
        Some((number, job))
    }

    /// No more jobs than those that have begun, where their number is not limited.
    pub(crate) fn wind_down(&self) {
        self.is_winding_down.store(true, Ordering::Relaxed);
    }

    /// Every thread ends as soon as it can.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// Everything handed in so far, by key.
    pub(crate) fn tried(&self) -> MutexGuard<'_, BTreeMap<String, Tried>> {
        self.tried.lock().expect("no holder panics")
    }

    /// Notes that a key got this task; the one that the key has.
    pub(crate) fn acknowledge(&self, key: &str, id: &str) -> Arc<Task> {
        let mut tried = self.tried();
        let tried = tried.get_mut(key).expect("a key is handed in after it was noted");
        let task = tried.task.get_or_insert_with(|| Arc::new(Task::new(id.to_owned()))).clone();
        if task.id != id {
            self.violated(format!("key {key} was given task {} and then task {id}", task.id));
        }
        task
    }

    /// Notes something that must not happen.
    pub(crate) fn violated(&self, what: String) {
        self.violations.lock().expect("no holder panics").push(what);
    }

    /// All that must not have happened.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().expect("no holder panics").clone()
    }
}
