use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use adapter_host::{AdapterError, Attempt, AttemptId, EngineEvent};
use tokio::sync::{mpsc, watch};

/// Where attempts are handed from the async side to the engine's thread, and where both learn about
/// aborts, the engine's end and its failure.
///
/// No lock is held while anything is computed or awaited.
pub(crate) struct Desk {
    state: Mutex<State>,
    /// Told when there is a job, or none will come any more.
    changed: Condvar,
    stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Attempts that wait or run.
    open: HashMap<AttemptId, Open>,
    /// Why the engine takes no more work.
    failure: Option<String>,
}

struct Open {
    aborted: Arc<AtomicBool>,
    /// Ends when the attempt's slot is free.
    done: watch::Receiver<()>,
}

/// An attempt on its way through the engine.
pub(crate) struct Job {
    pub(crate) attempt: Attempt,
    pub(crate) prompt: Arc<[u32]>,
    events: mpsc::Sender<Result<EngineEvent, AdapterError>>,
    aborted: Arc<AtomicBool>,
    /// Its end tells [`Open::done`].
    _done: watch::Sender<()>,
}

/// What an attempt says, in order.
pub(crate) type Events = mpsc::Receiver<Result<EngineEvent, AdapterError>>;

impl Desk {
    pub(crate) fn new() -> Self {
        let (changed, stopping) = (Condvar::new(), AtomicBool::new(false));
        Self { state: Mutex::default(), changed, stopping }
    }

    /// Takes an attempt in, if at most `waiting_max` others wait. `events_max` must cover everything that
    /// the attempt can ever say: the engine does not wait for readers.
    pub(crate) fn submit(
        &self,
        attempt: Attempt,
        prompt: Arc<[u32]>,
        events_max: usize,
        waiting_max: usize,
    ) -> Result<Events, AdapterError> {
        let mut state = self.state();
        if let Some(reason) = &state.failure {
            return Err(AdapterError::Lost { reason: reason.clone() });
        }
        let State { waiting, open, .. } = &mut *state;
        waiting.retain(|job| {
            let is_wanted = !job.events.is_closed();
            if !is_wanted {
                open.remove(&job.attempt.id);
            }
            is_wanted
        });
        // Those that wait and the one that runs, or will in a moment.
        if state.open.len() > waiting_max {
            return Err(AdapterError::Overloaded { retry_after_ms: None });
        }
        if state.open.contains_key(&attempt.id) {
            return Err(AdapterError::Refused { status: None, text: None });
        }
        let (events, receiver) = mpsc::channel(events_max);
        let (done, open_done) = watch::channel(());
        let aborted = Arc::new(AtomicBool::new(false));
        state.open.insert(attempt.id, Open { aborted: Arc::clone(&aborted), done: open_done });
        state.waiting.push_back(Job { attempt, prompt, events, aborted, _done: done });
        self.changed.notify_one();
        Ok(receiver)
    }

    /// Stops an attempt. The receiver ends when its slot is free; `None` if it already is.
    pub(crate) fn abort(&self, id: AttemptId) -> Option<watch::Receiver<()>> {
        let mut state = self.state();
        let open = state.open.get(&id)?;
        open.aborted.store(true, Ordering::Relaxed);
        if let Some(index) = state.waiting.iter().position(|job| job.attempt.id == id) {
            let job = state.waiting.remove(index).expect("it was found there");
            state.open.remove(&id);
            job.end(Err(AdapterError::Aborted));
            return None;
        }
        Some(open.done.clone())
    }

    /// The next job; waits for it. `None` when the engine stops.
    pub(crate) fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if self.is_stopping() {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            state = self.changed.wait(state).expect("no holder panics");
        }
    }

    /// Ends a job that [`Self::next`] gave: its slot is free, and its stream ends with `last`.
    pub(crate) fn end(&self, job: Job, last: Result<EngineEvent, AdapterError>) {
        self.state().open.remove(&job.attempt.id);
        job.end(last);
    }

    /// Asks the thread to stop; it does so before the next token.
    pub(crate) fn stop(&self) {
        let _state = self.state(); // so that a thread about to wait hears it
        self.stopping.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Takes no more work, ends what waits, and says why.
    pub(crate) fn close(&self, reason: &str) {
        let mut state = self.state();
        state.failure.get_or_insert_with(|| reason.to_owned());
        state.open.clear();
        for job in state.waiting.drain(..) {
            job.end(Err(AdapterError::Lost { reason: reason.to_owned() }));
        }
    }

    /// Why the engine takes no more work, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl Job {
    /// Whether somebody wants the attempt no more: it was aborted, or nobody holds its stream.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed) || self.events.is_closed()
    }

    /// Says something. Nobody listening is noticed by [`Self::is_unwanted`].
    pub(crate) fn say(&self, event: EngineEvent) {
        self.send(Ok(event));
    }

    fn end(self, last: Result<EngineEvent, AdapterError>) {
        self.send(last);
    }

    fn send(&self, item: Result<EngineEvent, AdapterError>) {
        match self.events.try_send(item) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                unreachable!("the channel covers everything an attempt can say")
            }
        }
    }
}
