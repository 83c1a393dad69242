use std::{
    collections::BTreeSet,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use orchestrator_core::TaskId;
use prefetch::Lines;

use crate::{
    EndRow, EventStore, EventStoreError, Region, StoredFrame, ring::Ring, wire::skip_events,
};

/// What of a subscriber's task is asked for ahead, in bytes: behind a waker stands the task that it wakes, where the
/// runtime is tokio's. Tried in turns at 200 streams, 0.5 KiB saved less than 1 or 1.5, and 2.8 hardly more.
const TASK_BYTES: usize = 2048;

/// The events of one task as its subscribers see them: a bounded ring of the newest in memory, the event
/// store behind it, and the terminal event, which lives in the journal.
pub(crate) struct TaskLog {
    task: TaskId,
    store: Arc<dyn EventStore>,
    inner: Mutex<Inner>,
}

/// In the order in which a token needs it: memory that belongs to one stream alone is rarely near the core
/// when its next token comes, and what stands together comes together.
#[derive(Default)]
#[repr(C)]
struct Inner {
    frames: Vec<LoggedFrame>,
    ring: Ring,
    last_event: u64,
    /// Tokens accepted from the last attempt.
    attempt_tokens: u64,
    /// The place of the first subscriber, who mostly is the only one.
    first_waker: Place,
    /// What the first subscriber reads before it takes the next events.
    first_reads: [Lines; READS_MAX],
    /// Of each further one.
    further_wakers: Vec<Place>,
    terminal: Option<Arc<Terminal>>,
    notice: Option<(u64, Bytes)>,
    closed: bool,
    /// Nothing of it may be shown any more.
    erased: bool,
    subscribers: usize,
    /// Subscribers that ever came.
    arrivals: u64,
}

/// A frame of the task in the store.
#[derive(Debug, Clone, Copy)]
struct LoggedFrame {
    region: Region,
    /// Where its events end in the ring, as that counts; 0 where they never were in it.
    ring_end: u64,
}

/// Memory that the next frame of a log will be written to, and where it will be looked for.
pub(crate) type Ahead = [Lines; 3];

/// Most ranges of memory that a subscriber names.
pub(crate) const READS_MAX: usize = 3;

/// What is known of a subscriber.
#[derive(Default)]
enum Place {
    #[default]
    Free,
    Awake,
    Waiting(Waker),
}

/// A task's last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Its id.
    pub id: u64,
    /// `end` or `error`.
    pub name: String,
    /// Its data, JSON.
    pub data: String,
}

/// What a subscriber is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// One or more numbered events, as they go over the wire.
    Events(Bytes),
    /// An event without id, as it goes over the wire.
    Notice(Bytes),
    /// The terminal event; nothing follows.
    Terminal(Arc<Terminal>),
}

impl TaskLog {
    pub(crate) fn new(task: TaskId, store: Arc<dyn EventStore>, ring_bytes_max: usize) -> Self {
        let inner = Inner { ring: Ring::new(ring_bytes_max), ..Inner::default() };
        Self { task, store, inner: Mutex::new(inner) }
    }

    /// The log of a task that has ended.
    pub(crate) fn ended(task: TaskId, store: Arc<dyn EventStore>, end: EndRow) -> Self {
        let last_event =
            end.regions.iter().map(|region| region.last_event()).max().unwrap_or_default();
        let terminal = Terminal { id: end.event_id, name: end.event, data: end.data };
        let inner = Inner {
            frames: with_events(end.regions),
            last_event,
            terminal: Some(Arc::new(terminal)),
            ..Inner::default()
        };
        Self { task, store, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }

    pub(crate) fn task(&self) -> TaskId {
        self.task
    }

    /// Reads a frame of this task back.
    pub(crate) fn read(&self, region: &Region) -> Result<StoredFrame, EventStoreError> {
        self.store.read(self.task, region)
    }

    /// Takes over what a former process appended.
    pub(crate) fn restore(&self, region: Region) {
        let mut inner = self.lock();
        inner.last_event = inner.last_event.max(region.last_event());
        inner.frames.push(LoggedFrame { region, ring_end: 0 });
    }

    /// Another attempt begins, of which nothing was accepted yet.
    pub(crate) fn begin_attempt(&self) {
        self.lock().attempt_tokens = 0;
    }

    /// Tokens accepted from the last attempt.
    pub(crate) fn attempt_tokens(&self) -> u64 {
        self.lock().attempt_tokens
    }

    /// Shows events that are in the store; `attempt_tokens` were accepted from the attempt up to now. Gives the
    /// memory that the next call will need.
    pub(crate) fn publish(&self, region: Region, events: &[u8], attempt_tokens: u64) -> Ahead {
        let mut inner = self.lock();
        inner.attempt_tokens = attempt_tokens;
        let ring_end = inner.ring.push(events);
        inner.frames.push(LoggedFrame { region, ring_end });
        if region.event_count > 0 {
            inner.last_event = region.last_event();
            inner.fetch_first_reads();
            inner.wake();
        }
        let next_frame = Lines::at(inner.frames.as_ptr_range().end, size_of::<LoggedFrame>());
        [Lines::of(self), next_frame, inner.ring.next(events.len())]
    }

    /// Shows the terminal event, which is in the journal.
    pub(crate) fn publish_terminal(&self, end: &EndRow) {
        let terminal =
            Terminal { id: end.event_id, name: end.event.clone(), data: end.data.clone() };
        let mut inner = self.lock();
        inner.terminal = Some(Arc::new(terminal));
        inner.wake();
    }

    /// Shows an event without id to whoever listens now.
    pub(crate) fn notify(&self, event: Bytes) {
        let mut inner = self.lock();
        let version = inner.notice.as_ref().map_or(0, |(version, _)| *version) + 1;
        inner.notice = Some((version, event));
        inner.wake();
    }

    /// Ends all subscriptions without a terminal event; clients come back after a restart.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.wake();
    }

    /// Forgets everything, and ends all subscriptions without a terminal event.
    pub(crate) fn erase(&self) {
        let mut inner = self.lock();
        inner.erased = true;
        inner.closed = true;
        inner.frames = Vec::new();
        inner.ring.clear();
        inner.terminal = None;
        inner.notice = None;
        inner.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The highest id shown; 0 before the first.
    pub(crate) fn last_event(&self) -> u64 {
        self.lock().last_event
    }

    pub(crate) fn terminal(&self) -> Option<Arc<Terminal>> {
        self.lock().terminal.clone()
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.lock().subscribers
    }

    /// Subscribers that ever came.
    pub(crate) fn arrivals(&self) -> u64 {
        self.lock().arrivals
    }

    pub(crate) fn regions(&self) -> Vec<Region> {
        self.lock().frames.iter().map(|frame| frame.region).collect()
    }

    /// Adds the segments that hold frames of the task.
    pub(crate) fn add_segments(&self, segments: &mut BTreeSet<u64>) {
        let inner = self.lock();
        // Frames stand in the order of their writing.
        let mut rest = inner.frames.as_slice();
        while let Some(LoggedFrame { region, .. }) = rest.first() {
            segments.insert(region.segment);
            rest = &rest[rest.partition_point(|other| other.region.segment <= region.segment)..];
        }
    }

    /// Subscribes behind the event `after`.
    pub(crate) fn subscribe(self: &Arc<Self>, after: u64) -> Cursor {
        self.cursor(after, true)
    }

    /// A cursor that is no subscriber: it neither counts towards limits nor keeps a task from being
    /// alone.
    pub(crate) fn watch(self: &Arc<Self>) -> Cursor {
        self.cursor(0, false)
    }

    fn cursor(self: &Arc<Self>, after: u64, is_subscriber: bool) -> Cursor {
        let mut inner = self.lock();
        inner.subscribers += usize::from(is_subscriber);
        inner.arrivals += u64::from(is_subscriber);
        let place = inner.places().position(|place| matches!(place, Place::Free));
        let place = place.unwrap_or_else(|| {
            inner.further_wakers.push(Place::Free);
            inner.further_wakers.len()
        });
        *inner.place(place) = Place::Awake;
        let notice_seen = inner.notice.as_ref().map_or(0, |(version, _)| *version);
        Cursor {
            log: Arc::clone(self),
            is_subscriber,
            place,
            next: after.saturating_add(1),
            notice_seen,
            notices_dropped: 0,
            over: false,
            failed: false,
        }
    }
}

impl Inner {
    /// What is known of each subscriber, the first one's first.
    fn places(&mut self) -> impl Iterator<Item = &mut Place> {
        std::iter::once(&mut self.first_waker).chain(&mut self.further_wakers)
    }

    fn place(&mut self, place: usize) -> &mut Place {
        match place.checked_sub(1) {
            None => &mut self.first_waker,
            Some(further) => &mut self.further_wakers[further],
        }
    }

    /// What the first subscriber needs comes while others have their turn, so that it waits less for it.
    fn fetch_first_reads(&self) {
        if let Place::Waiting(waker) = &self.first_waker {
            Lines::at(waker.data(), TASK_BYTES).fetch();
            for reads in self.first_reads {
                reads.fetch();
            }
        }
    }

    fn wake(&mut self) {
        for place in self.places() {
            if matches!(place, Place::Waiting(_))
                && let Place::Waiting(waker) = std::mem::replace(place, Place::Awake)
            {
                waker.wake();
            }
        }
    }
}

impl Region {
    /// Id of the last event in the frame; of the one before its first where it holds none.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        self.first_event + u64::from(self.event_count) - 1
    }
}

fn with_events(regions: Vec<Region>) -> Vec<LoggedFrame> {
    let with_events = regions.into_iter().filter(|region| region.event_count > 0);
    with_events.map(|region| LoggedFrame { region, ring_end: 0 }).collect()
}

/// A subscriber's place in a task's log.
pub(crate) struct Cursor {
    log: Arc<TaskLog>,
    is_subscriber: bool,
    place: usize,
    next: u64,
    notice_seen: u64,
    notices_dropped: u64,
    over: bool,
    failed: bool,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} from {})", self.log.task, self.next)
    }
}

impl Cursor {
    /// What comes next; `None` once the stream is over.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Delivery, EventStoreError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut inner = self.log.lock();
        if inner.erased {
            drop(inner);
            self.over = true;
            return Poll::Ready(None);
        }
        if self.next <= inner.last_event {
            let found = inner.frame_of(self.next);
            drop(inner);
            let Some((region, held)) = found else {
                self.over = true;
                self.failed = true;
                let place = format!("event {} of task {}", self.next, self.log.task);
                return Poll::Ready(Some(Err(EventStoreError::Damaged { place })));
            };
            if let Some(events) = held {
                let delivery = self.deliver(region.first_event, region.event_count, &events);
                return Poll::Ready(Some(Ok(delivery)));
            }
            return Poll::Ready(Some(match self.log.store.read(self.log.task, &region) {
                Ok(frame) => {
                    Ok(self.deliver(region.first_event, region.event_count, &frame.events))
                }
                Err(error) => {
                    self.over = true;
                    self.failed = true;
                    Err(error)
                }
            }));
        }
        if let Some(terminal) = inner.terminal.clone() {
            drop(inner);
            self.over = true;
            let is_new = self.next <= terminal.id;
            return Poll::Ready(is_new.then(|| Ok(Delivery::Terminal(terminal))));
        }
        if inner.closed {
            drop(inner);
            self.over = true;
            return Poll::Ready(None);
        }
        if let Some((version, event)) = &inner.notice
            && *version > self.notice_seen
        {
            let (version, event) = (*version, event.clone());
            drop(inner);
            self.notices_dropped += version - self.notice_seen - 1;
            self.notice_seen = version;
            return Poll::Ready(Some(Ok(Delivery::Notice(event))));
        }
        match inner.place(self.place) {
            Place::Waiting(waker) => waker.clone_from(cx.waker()),
            place => *place = Place::Waiting(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Tells what is read before the next events are taken.
    pub(crate) fn reads(&self, memory: [Lines; READS_MAX]) {
        if self.place == 0 {
            self.log.lock().first_reads = memory;
        }
    }

    fn deliver(&mut self, first_event: u64, event_count: u32, events: &Bytes) -> Delivery {
        let skip = usize::try_from(self.next - first_event).expect("a frame's events are few");
        self.next = first_event + u64::from(event_count);
        Delivery::Events(if skip == 0 { events.clone() } else { skip_events(events, skip) })
    }

    /// Resolves once the log has the event before the cursor, or can never have it.
    pub(crate) async fn reached(&self) {
        poll_fn(|cx| {
            let mut inner = self.log.lock();
            if inner.last_event + 1 >= self.next || inner.terminal.is_some() || inner.closed {
                return Poll::Ready(());
            }
            *inner.place(self.place) = Place::Waiting(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Whether the log holds the event before the cursor, or nothing was asked for.
    pub(crate) fn is_within(&self) -> bool {
        let inner = self.log.lock();
        let known = inner.terminal.as_ref().map_or(inner.last_event, |terminal| terminal.id);
        self.next <= known + 1
    }

    /// Resolves once the task has its terminal event; `None` where the log was closed before.
    pub(crate) async fn terminal(&self) -> Option<Arc<Terminal>> {
        poll_fn(|cx| {
            let mut inner = self.log.lock();
            if let Some(terminal) = &inner.terminal {
                return Poll::Ready(Some(Arc::clone(terminal)));
            }
            if inner.closed {
                return Poll::Ready(None);
            }
            *inner.place(self.place) = Place::Waiting(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether all there is was given, and whether it could not be read.
    pub(crate) fn standing(&self) -> (bool, bool) {
        (self.over && !self.failed && self.log.terminal().is_some(), self.failed)
    }

    /// Events without id that newer ones took the place of.
    pub(crate) fn notices_dropped(&self) -> u64 {
        self.notices_dropped
    }

    pub(crate) fn log(&self) -> &Arc<TaskLog> {
        &self.log
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.reads([Lines::NONE; READS_MAX]);
        let mut inner = self.log.lock();
        *inner.place(self.place) = Place::Free;
        inner.subscribers -= usize::from(self.is_subscriber);
    }
}

impl Inner {
    /// The frame that holds an event, and the events of it where they are in memory.
    fn frame_of(&self, event: u64) -> Option<(Region, Option<Bytes>)> {
        let holds = |frame: &LoggedFrame| {
            let region = &frame.region;
            region.event_count > 0 && region.first_event <= event && region.last_event() >= event
        };
        // Nearly all subscribers wait for the newest frame.
        let newest = self.frames.len().checked_sub(1).filter(|newest| holds(&self.frames[*newest]));
        let place = newest.or_else(|| {
            // Frames without events stand between those with events, at the id that comes next.
            let behind = self.frames.partition_point(|frame| frame.region.first_event <= event);
            (0..behind)
                .rev()
                .take_while(|place| self.frames[*place].region.last_event() + 1 >= event)
                .find(|place| holds(&self.frames[*place]))
        })?;
        let LoggedFrame { region, ring_end } = self.frames[place];
        let ring_start = place.checked_sub(1).map_or(0, |before| self.frames[before].ring_end);
        let is_shown = ring_end > ring_start;
        Some((region, is_shown.then(|| self.ring.get(ring_start..ring_end)).flatten()))
    }
}
