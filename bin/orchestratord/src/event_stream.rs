use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use api_types::{EventKind, MetricsEvent, PreparationView};
use bytes::Bytes;
use http_body::{Body, Frame};
use openai_facade::ChunkWriter;
use orchestrator::{Delivery, EventStoreError, Subscription};
use prefetch::Lines;
use tokio::time::{Instant, Sleep};

/// Reconnection time told to clients, in milliseconds.
const RETRY_MS: u64 = 1000;

/// Room for chunks: so much, and so many times the events that they are made of, in bytes.
const CHUNK_BYTES: usize = 256;
const CHUNK_GROWTH: usize = 3;

/// How a stream is paced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Silence after which a comment is sent.
    pub(crate) heartbeat: Duration,
    /// Pause between two `metrics` events of a task that waits.
    pub(crate) metrics: Duration,
}

impl Pace {
    pub(crate) fn of(config: &config_schema::Config) -> Self {
        Self {
            heartbeat: Duration::from_millis(config.stream.heartbeat_ms),
            metrics: Duration::from_millis(config.stream.metrics_interval_ms),
        }
    }
}

/// A task's events as the body of an answer. Dropping it is a disconnect.
pub(crate) struct EventStream {
    subscription: Subscription,
    shape: Shape,
    pace: Pace,
    opening: Option<Bytes>,
    /// Fires for heartbeats and, while the task waits, for `metrics`.
    timer: Pin<Box<Sleep>>,
    /// When it does.
    timer_at: Instant,
    /// Who is woken when it fires.
    timer_wakes: Option<Waker>,
    last_output: Instant,
    last_waiting: Option<(u64, u64)>,
    preparation: Box<dyn Fn() -> PreparationView + Send>,
    over: bool,
    /// Where this stood when the subscription was last told.
    told_at: Lines,
}

/// In whose words events are sent.
pub(crate) enum Shape {
    /// The native ones; the name of the `error` event is the client's choice.
    Native { error_event: String },
    /// OpenAI's chunks.
    Chunks(Box<ChunkWriter>),
}

impl EventStream {
    pub(crate) fn new(
        subscription: Subscription,
        shape: Shape,
        pace: Pace,
        preparation: Box<dyn Fn() -> PreparationView + Send>,
    ) -> Self {
        let opening = match &shape {
            Shape::Native { .. } => opening(),
            // OpenAI's clients ignore comments; this one opens the stream at once.
            Shape::Chunks(_) => Bytes::from_static(b": queued\n\n"),
        };
        let first =
            if matches!(shape, Shape::Native { .. }) { Duration::ZERO } else { pace.heartbeat };
        Self {
            subscription,
            shape,
            pace,
            opening: Some(opening),
            timer: Box::pin(tokio::time::sleep(first)),
            timer_at: Instant::now() + first,
            timer_wakes: None,
            last_output: Instant::now(),
            last_waiting: None,
            preparation,
            over: false,
            told_at: Lines::NONE,
        }
    }

    /// Reads what is there already, so that events that cannot be read are found before the answer begins.
    ///
    /// # Errors
    /// The first of them cannot be read.
    pub(crate) fn read_ahead(mut self) -> Result<Self, EventStoreError> {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Some(delivery)) = self.subscription.poll_next(&mut cx) {
            let events = self.show(delivery?);
            self.opening = self.opening.map(|opening| [opening, events].concat().into());
        }
        Ok(self)
    }

    fn show(&mut self, delivery: Delivery) -> Bytes {
        match (&mut self.shape, delivery) {
            (Shape::Native { .. }, Delivery::Events(events) | Delivery::Notice(events)) => events,
            (Shape::Native { error_event }, Delivery::Terminal(terminal)) => {
                self.over = true;
                let is_error = terminal.name == EventKind::Error.name();
                let name = if is_error { error_event.as_str() } else { &terminal.name };
                let mut event = Vec::new();
                sse::write_event(
                    &mut event,
                    Some(terminal.id),
                    Some(name),
                    terminal.data.as_bytes(),
                );
                event.into()
            }
            (Shape::Chunks(writer), Delivery::Events(events)) => {
                // New room each time is what another stream gave back just now, and still near the core.
                let mut chunks = Vec::with_capacity(CHUNK_BYTES + CHUNK_GROWTH * events.len());
                for (kind, data) in events_of(&events) {
                    self.over |= write_chunk(writer, kind, data, &mut chunks);
                }
                // A copy of its exact length needs no count of who holds it.
                Bytes::copy_from_slice(&chunks)
            }
            (Shape::Chunks(_), Delivery::Notice(_)) => Bytes::new(),
            (Shape::Chunks(writer), Delivery::Terminal(terminal)) => {
                self.over = true;
                let mut chunks = Vec::new();
                if let Some(kind) = EventKind::of_name(&terminal.name) {
                    write_chunk(writer, kind, terminal.data.as_bytes(), &mut chunks);
                }
                chunks.into()
            }
        }
    }

    /// What the timer asks for: how the task waits, or a sign of life.
    fn overdue(&mut self) -> Option<Bytes> {
        let waiting = self.subscription.waiting();
        let is_native = matches!(self.shape, Shape::Native { .. });
        if is_native && waiting.is_some() && waiting != self.last_waiting {
            self.last_waiting = waiting;
            let (position, depth) = waiting?;
            let preparation = (self.preparation)();
            let metrics = MetricsEvent {
                queue_position: Some(position),
                queue_depth: Some(depth),
                preparation: (!preparation.steps.is_empty()).then_some(preparation),
                ..MetricsEvent::default()
            };
            let data = serde_json::to_vec(&metrics).expect("wire types are JSON");
            let mut event = Vec::new();
            sse::write_event(&mut event, None, Some(EventKind::Metrics.name()), &data);
            return Some(event.into());
        }
        (self.last_output.elapsed() >= self.pace.heartbeat)
            .then(|| Bytes::from_static(b": still here\n\n"))
    }

    /// Asks the timer only where it may have fired, or somebody else is to be woken: this is polled some times
    /// for each token.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_waited_for = self.timer_wakes.as_ref().is_some_and(|it| it.will_wake(cx.waker()));
        if is_waited_for && Instant::now() < self.timer_at {
            return Poll::Pending;
        }
        let fired = self.timer.as_mut().poll(cx);
        self.timer_wakes = fired.is_pending().then(|| cx.waker().clone());
        fired
    }

    /// Tells the subscription what the next events will need here.
    fn tell_reads(&mut self) {
        let here = Lines::of(self);
        if here != self.told_at {
            self.told_at = here;
            let (writer, head) = match &self.shape {
                Shape::Native { .. } => (Lines::NONE, Lines::NONE),
                Shape::Chunks(writer) => (Lines::of(&**writer), Lines::of(writer.head())),
            };
            self.subscription.reads([here, writer, head]);
        }
    }

    fn rearm(&mut self) {
        let silence = self.last_output.elapsed();
        let until_heartbeat = self.pace.heartbeat.saturating_sub(silence);
        let is_native = matches!(self.shape, Shape::Native { .. });
        let waits = is_native && self.subscription.waiting().is_some();
        let pause = if waits { until_heartbeat.min(self.pace.metrics) } else { until_heartbeat };
        self.timer_at = Instant::now() + pause.max(Duration::from_millis(1));
        self.timer.as_mut().reset(self.timer_at);
    }
}

/// The first bytes of a native stream: how soon to come back.
pub(crate) fn opening() -> Bytes {
    let mut bytes = Vec::new();
    sse::write_retry(&mut bytes, RETRY_MS);
    bytes.into()
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if let Some(opening) = this.opening.take() {
            return Poll::Ready(Some(Ok(Frame::data(opening))));
        }
        if this.over {
            return Poll::Ready(None);
        }
        this.tell_reads();
        loop {
            match this.subscription.poll_next(cx) {
                Poll::Ready(Some(Ok(delivery))) => {
                    let bytes = this.show(delivery);
                    if !bytes.is_empty() {
                        this.last_output = Instant::now();
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                    if this.over {
                        return Poll::Ready(None);
                    }
                    continue;
                }
                // A damaged log is in the daemon's own log; the client sees a broken stream and may ask
                // for the task.
                Poll::Ready(Some(Err(error))) => {
                    tracing::error!(error = %error, "a task's events cannot be read");
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            std::task::ready!(this.poll_timer(cx));
            let bytes = this.overdue();
            if bytes.is_some() {
                this.last_output = Instant::now();
            }
            this.rearm();
            if let Some(bytes) = bytes {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }
}

/// The events in a run of them, as this daemon writes them: `id`, `event` and one line of `data`.
pub(crate) fn events_of(events: &[u8]) -> impl Iterator<Item = (EventKind, &[u8])> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let mut line = || {
            let end = memchr::memchr(b'\n', rest)?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            Some(line)
        };
        let _id = line()?;
        let name = line()?.strip_prefix(b"event: ")?;
        let data = line()?.strip_prefix(b"data: ")?;
        let _end = line()?;
        Some((EventKind::of_name(std::str::from_utf8(name).ok()?)?, data))
    })
}

/// Adds the chunks of an event; true where the stream cannot go on.
fn write_chunk(
    writer: &mut ChunkWriter,
    kind: EventKind,
    data: &[u8],
    chunks: &mut Vec<u8>,
) -> bool {
    match writer.write(kind, data, chunks) {
        Ok(_progress) => false,
        Err(error) => {
            tracing::error!(error = %error, "an event cannot be shown as a chunk");
            true
        }
    }
}
