use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use orchestrator_core::TaskId;

use crate::{EndRow, EventStore, EventStoreError, Region, StoredFrame, wire::skip_events};

/// The events of one task as its subscribers see them: a bounded ring of the newest in memory, the event
/// store behind it, and the terminal event, which lives in the journal.
pub(crate) struct TaskLog {
    task: TaskId,
    store: Arc<dyn EventStore>,
    ring_bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    regions: Vec<Region>,
    ring: VecDeque<Chunk>,
    ring_bytes: usize,
    last_event: u64,
    terminal: Option<Arc<Terminal>>,
    closed: bool,
    /// Nothing of it may be shown any more.
    erased: bool,
    notice: Option<(u64, Bytes)>,
    /// One place for each subscriber; empty while it is not waiting.
    wakers: Vec<Place>,
    subscribers: usize,
    /// Subscribers that ever came.
    arrivals: u64,
}

/// Events of one append.
struct Chunk {
    first_event: u64,
    event_count: u32,
    events: Bytes,
}

enum Place {
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
        Self { task, store, ring_bytes_max, inner: Mutex::default() }
    }

    /// The log of a task that has ended.
    pub(crate) fn ended(task: TaskId, store: Arc<dyn EventStore>, end: EndRow) -> Self {
        let last_event =
            end.regions.iter().map(|region| region.last_event()).max().unwrap_or_default();
        let terminal = Terminal { id: end.event_id, name: end.event, data: end.data };
        let inner = Inner {
            regions: with_events(end.regions),
            last_event,
            terminal: Some(Arc::new(terminal)),
            ..Inner::default()
        };
        Self { task, store, ring_bytes_max: 0, inner: Mutex::new(inner) }
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
        inner.regions.push(region);
    }

    /// Shows events that are in the store.
    pub(crate) fn publish(&self, region: Region, events: Bytes) {
        let mut inner = self.lock();
        inner.regions.push(region);
        if region.event_count == 0 {
            return;
        }
        inner.last_event = region.last_event();
        inner.ring_bytes += events.len();
        let Region { first_event, event_count, .. } = region;
        inner.ring.push_back(Chunk { first_event, event_count, events });
        while inner.ring_bytes > self.ring_bytes_max && inner.ring.len() > 1 {
            let oldest = inner.ring.pop_front().expect("more than one");
            inner.ring_bytes -= oldest.events.len();
        }
        inner.wake();
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
        inner.regions = Vec::new();
        inner.ring = VecDeque::new();
        inner.ring_bytes = 0;
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
        self.lock().regions.clone()
    }

    /// Adds the segments that hold frames of the task.
    pub(crate) fn add_segments(&self, segments: &mut BTreeSet<u64>) {
        let inner = self.lock();
        // Frames stand in the order of their writing.
        let mut rest = inner.regions.as_slice();
        while let Some(region) = rest.first() {
            segments.insert(region.segment);
            rest = &rest[rest.partition_point(|other| other.segment <= region.segment)..];
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
        let free = inner.wakers.iter().position(|place| matches!(place, Place::Free));
        let place = free.unwrap_or(inner.wakers.len());
        if place == inner.wakers.len() {
            inner.wakers.push(Place::Awake);
        } else {
            inner.wakers[place] = Place::Awake;
        }
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
    fn wake(&mut self) {
        for place in &mut self.wakers {
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

fn with_events(regions: Vec<Region>) -> Vec<Region> {
    regions.into_iter().filter(|region| region.event_count > 0).collect()
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
            if let Some((first, count, events)) = inner.in_ring(self.next) {
                drop(inner);
                return Poll::Ready(Some(Ok(self.deliver(first, count, &events))));
            }
            let region = inner.region_of(self.next);
            drop(inner);
            let Some(region) = region else {
                self.over = true;
                self.failed = true;
                let place = format!("event {} of task {}", self.next, self.log.task);
                return Poll::Ready(Some(Err(EventStoreError::Damaged { place })));
            };
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
        match &mut inner.wakers[self.place] {
            Place::Waiting(waker) => waker.clone_from(cx.waker()),
            place => *place = Place::Waiting(cx.waker().clone()),
        }
        Poll::Pending
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
            inner.wakers[self.place] = Place::Waiting(cx.waker().clone());
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
            inner.wakers[self.place] = Place::Waiting(cx.waker().clone());
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
        let mut inner = self.log.lock();
        inner.wakers[self.place] = Place::Free;
        inner.subscribers -= usize::from(self.is_subscriber);
    }
}

impl Inner {
    fn in_ring(&self, event: u64) -> Option<(u64, u32, Bytes)> {
        // Nearly all subscribers wait for the newest chunk.
        let newest = self.ring.back().filter(|chunk| chunk.first_event <= event);
        let chunk = newest.or_else(|| {
            let after = self.ring.partition_point(|chunk| chunk.first_event <= event);
            self.ring.get(after.checked_sub(1)?)
        })?;
        let holds = event < chunk.first_event + u64::from(chunk.event_count);
        holds.then(|| (chunk.first_event, chunk.event_count, chunk.events.clone()))
    }

    fn region_of(&self, event: u64) -> Option<Region> {
        // Frames without events stand between those with events, at the id that comes next.
        let index = self.regions.partition_point(|region| region.first_event <= event);
        let before = self.regions[..index].iter().rev();
        before.take_while(|region| region.last_event() + 1 >= event).find_map(|region| {
            (region.event_count > 0 && region.last_event() >= event).then_some(*region)
        })
    }
}
