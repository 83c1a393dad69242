use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adapter_host::{
    AdapterError, BoundStream, EngineEvent, Finish, FinishReason, Output, StopSignal,
};
use api_types::{ErrorCode, EventKind, StartedEvent, TaskState};
use bytes::Bytes;
use futures_util::Stream as _;
use orchestrator_core::TaskId;
use prefetch::Lines;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    EventStoreError, Frame, FrameKind, Options, Outcome, Record, Region, Streamed,
    answers::Answers,
    assembler::Piece,
    attempt::Method,
    comparison::Comparison,
    ending::{Counted, Ending, task_error},
    generation,
    live_task::LiveTask,
    replay::Replay,
    shared::Shared,
    task_log::{Ahead, TaskLog},
    verdict::{RetryReason, Verdict, adapter_verdict, end, fail, stopped},
    wire,
};

/// Event ids that are reserved at once.
pub(crate) const ID_BLOCK: u64 = 4096;

/// Engine events that are taken in one go: one write and one wake-up serve them all.
const BATCH_MAX: usize = 64;

/// Room that is made before a token is written down, in bytes: more than most take.
const RECORD_BYTES: usize = 192;

/// What each token needs of a relay, in bytes.
const HOT_BYTES: usize = 512;

/// Longest time for which what was streamed is counted here alone, in milliseconds.
const STREAMED_REPORT_MS: u64 = 1000;

/// Carries an engine's output into the task's log.
///
/// First stands what each token needs: memory that belongs to one stream alone is rarely near the core when its
/// next token comes, and what stands together comes together.
#[repr(C)]
pub(crate) struct Relay<'a> {
    stream: BoundStream,
    /// What the log will need.
    ahead: Ahead,
    shared: &'a Arc<Shared>,
    log: &'a TaskLog,
    task: TaskId,
    /// Those of when the attempt began.
    options: Arc<Options>,
    answers: Answers,
    batch: VecDeque<EngineEvent>,
    last_progress_boot_ms: u64,
    first_output_boot_ms: Option<u64>,
    accepted_tokens: Option<u64>,
    tokens_max: u64,
    next_event: u64,
    /// The highest id that may be shown.
    ids_reserved: u64,
    pieces: Vec<Piece>,
    /// What is not written yet; its room is given back when it was. The next token comes in some milliseconds,
    /// and new room, which another stream used last, is nearer to the core then.
    generation: Vec<u8>,
    events: Vec<u8>,
    event_count: u32,
    attempt_number: u32,
    /// Tokens of events that are not shown yet.
    unshown_tokens: u64,
    last_output_boot_ms: Option<u64>,
    streamed_from_boot_ms: u64,
    /// Counted since the observer was last told.
    streamed: Streamed,
    shown_at: Option<Instant>,
    /// Tokens that wait for others to share an event with, and until when. Always empty where
    /// `coalesce_ms` is 0.
    gathered: Option<Piece>,
    comparison: Option<Comparison>,
    live: &'a Arc<LiveTask>,
    pool_id: &'a str,
    /// Fires when the attempt is to stop.
    stop: CancellationToken,
    replay: Replay,
    /// What the work gave where that is no text.
    result: Option<Bytes>,
    /// Where the run began, and what attempts before it took of its time.
    began_boot_ms: u64,
    ran_before_ms: u64,
    has_noted_replay: bool,
}

/// What the relay cannot do on the spot.
enum Woken {
    /// The batch was taken in, up to something that has to wait; the error or end that followed the batch, if
    /// any.
    Engine(Taken, Option<Result<(), AdapterError>>),
    Stop,
    Watchdog,
}

/// Up to where a batch was taken in.
enum Taken {
    Whole,
    /// Up to the first sign of replayed ids, which is to be noted before what follows it.
    Replayed,
    /// Up to the end of the answer: the reason of each choice, and the engine's own end.
    Ended(Vec<&'static str>, Option<Finish>),
    /// Up to where the engine did not say again what it had said.
    Differs,
}

impl<'a> Relay<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        live: &'a Arc<LiveTask>,
        stream: BoundStream,
        method: Method,
        replay: Replay,
        pool_id: &'a str,
        stop: CancellationToken,
    ) -> Self {
        let (attempts, ran_before_ms, ids_reserved) = {
            let changing = live.changing();
            let progress = &changing.progress;
            (progress.attempts.len(), progress.ran_ms(), progress.ids_reserved)
        };
        let now_ms = shared.clock.boot_ms();
        Self {
            comparison: match method {
                Method::Regenerate(comparison) => Some(comparison),
                Method::Fresh | Method::Replay(_) => None,
            },
            answers: replay.answers.clone(),
            accepted_tokens: replay.tokens(),
            tokens_max: u64::from(live.spec.max_tokens) * u64::from(live.spec.output.choices()),
            replay,
            result: None,
            stream,
            ahead: Ahead::default(),
            log: &live.log,
            task: live.id,
            attempt_number: u32::try_from(attempts).unwrap_or(u32::MAX),
            next_event: live.log.last_event() + 1,
            ids_reserved,
            first_output_boot_ms: None,
            began_boot_ms: now_ms,
            ran_before_ms,
            last_progress_boot_ms: now_ms,
            has_noted_replay: false,
            streamed: Streamed::default(),
            streamed_from_boot_ms: now_ms,
            last_output_boot_ms: None,
            unshown_tokens: 0,
            pool_id,
            stop,
            options: shared.options(),
            generation: Vec::new(),
            events: Vec::new(),
            event_count: 0,
            pieces: Vec::new(),
            batch: VecDeque::new(),
            gathered: None,
            shown_at: None,
            shared,
            live,
        }
    }

    pub(crate) fn write_started(&mut self, started: &StartedEvent) {
        let data = serde_json::to_vec(started).expect("wire types are JSON");
        wire::write_event(&mut self.events, self.next_event, EventKind::Started.name(), &data);
        self.next_event += 1;
        self.event_count += 1;
    }

    pub(crate) async fn pump(mut self) -> Verdict {
        if !self.flush(FrameKind::Output).await {
            return self.stopped_unwritten();
        }
        let live = self.live;
        let mut stop = StopSignal::new(self.stop.clone());
        let mut watchdog = std::pin::pin!(tokio::time::sleep(self.until_watchdog()));
        loop {
            let waited = self.shown_at;
            let woken = poll_fn(|cx| self.poll_work(&mut stop, watchdog.as_mut(), cx)).await;
            let (taken, followed_by) = match woken {
                Woken::Stop => {
                    // What was gathered was accepted, and is shown like everything that was.
                    return if self.flush(FrameKind::Output).await {
                        stopped(live, self.usage(None))
                    } else {
                        self.stopped_unwritten()
                    };
                }
                Woken::Watchdog => {
                    if self.is_due() && !self.flush(FrameKind::Output).await {
                        return self.stopped_unwritten();
                    }
                    if let Some(verdict) = self.overdue() {
                        return verdict;
                    }
                    let next = Instant::now() + self.until_watchdog();
                    watchdog.as_mut().reset(next);
                    continue;
                }
                Woken::Engine(taken, followed_by) => (taken, followed_by),
            };
            if let Some(verdict) = self.write_taken(taken).await {
                return verdict;
            }
            if self.shown_at != waited {
                let next = Instant::now() + self.until_watchdog();
                watchdog.as_mut().reset(next);
            }
            if followed_by.is_some() && !self.flush(FrameKind::Output).await {
                return self.stopped_unwritten();
            }
            match followed_by {
                None => {}
                Some(Ok(())) => {
                    let reason = "the engine's stream ended without saying why".to_owned();
                    return adapter_verdict(live, &AdapterError::Lost { reason }, &self.replay);
                }
                Some(Err(error)) => return adapter_verdict(live, &error, &self.replay),
            }
        }
    }

    /// Takes in and shows what the engine says, for as long as nothing of it has to wait.
    fn poll_work(
        &mut self,
        stop: &mut StopSignal,
        watchdog: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Woken> {
        // It comes while the engine's socket is read.
        Lines::of(self).first(HOT_BYTES).fetch();
        for needed in self.ahead {
            needed.fetch();
        }
        self.answers.lines().fetch();
        loop {
            if stop.poll(cx).is_ready() {
                return Poll::Ready(Woken::Stop);
            }
            let followed_by = self.poll_batch(cx);
            if self.batch.is_empty() && followed_by.is_pending() {
                return watchdog.poll(cx).map(|()| Woken::Watchdog);
            }
            self.last_progress_boot_ms = self.shared.clock.boot_ms();
            match (self.take_batch(), followed_by) {
                (Taken::Whole, Poll::Pending) if self.flush_at_once() => {
                    // Nothing waits in between, so there is nothing new to be asked.
                    return watchdog.poll(cx).map(|()| Woken::Watchdog);
                }
                (Taken::Whole, Poll::Ready(None)) if self.flush_at_once() => {}
                (taken, Poll::Ready(followed_by)) => {
                    return Poll::Ready(Woken::Engine(taken, followed_by));
                }
                (taken, Poll::Pending) => return Poll::Ready(Woken::Engine(taken, None)),
            }
        }
    }

    /// Fills the batch: pending where the engine said no more, ready where more may be there, or where the
    /// stream ended.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), AdapterError>>> {
        while self.batch.len() < BATCH_MAX {
            match std::task::ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(event)) => self.batch.push_back(event),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(Ok(()))),
            }
        }
        Poll::Ready(None)
    }

    /// Takes the batch in, up to what cannot go on at once.
    fn take_batch(&mut self) -> Taken {
        let mut outputs = 0;
        let taken = loop {
            let Some(event) = self.batch.pop_front() else {
                self.batch = VecDeque::new();
                break Taken::Whole;
            };
            match event {
                EngineEvent::Started { run_settings } => self.note_settings(run_settings),
                EngineEvent::PromptProgress { .. } => {}
                EngineEvent::Replayed { .. } => {
                    if !self.has_noted_replay {
                        self.has_noted_replay = true;
                        self.live.changing().progress.poison.daemon_ends = 0;
                        break Taken::Replayed;
                    }
                }
                EngineEvent::Output(output) => {
                    let output = match &mut self.comparison {
                        None => Some(output),
                        Some(comparison) => match comparison.check(output) {
                            Ok(output) => output,
                            Err(_differs) => break Taken::Differs,
                        },
                    };
                    let Some(output) = output else { continue };
                    outputs += 1;
                    if let Some(reasons) = self.take_output(&output) {
                        break Taken::Ended(reasons, None);
                    }
                }
                EngineEvent::Result(json) => {
                    generation::write_result(&mut self.generation, &json);
                    self.result = Some(json);
                }
                EngineEvent::Finished(finish) => {
                    if self.comparison.as_ref().is_some_and(|comparison| !comparison.is_done()) {
                        break Taken::Differs;
                    }
                    generation::write_finished(&mut self.generation, &finish);
                    self.answers.finish(&mut self.pieces);
                    self.write_pieces();
                    break Taken::Ended(self.answers.finish_reasons(Some(&finish)), Some(finish));
                }
            }
        };
        self.count_outputs(outputs);
        taken
    }

    /// Writes and shows what was taken in, and the rest of the batch; gives the verdict where that ends the
    /// attempt.
    async fn write_taken(&mut self, mut taken: Taken) -> Option<Verdict> {
        let (reasons, finish) = loop {
            match taken {
                Taken::Differs => return Some(self.mismatch()),
                Taken::Replayed => {
                    if !self.flush(FrameKind::Replayed).await {
                        return Some(self.stopped_unwritten());
                    }
                    taken = self.take_batch();
                }
                Taken::Whole => {
                    let is_waiting = self.gathered.is_some() && !self.is_due();
                    if !is_waiting && !self.flush(FrameKind::Output).await {
                        return Some(self.stopped_unwritten());
                    }
                    return None;
                }
                Taken::Ended(reasons, finish) => break (reasons, finish),
            }
        };
        if !self.flush(FrameKind::Output).await {
            return Some(self.stopped_unwritten());
        }
        if self.answers.tokens_shown().is_none() {
            // The events could not tell; the engine does in the end.
            let told = finish.as_ref().and_then(|finish| finish.output_tokens);
            self.streamed.tokens += told.map_or(0, u64::from);
        }
        let ending = Ending::succeeded(reasons, self.usage(finish.as_ref()));
        let ending = ending.with_result(self.result.take());
        Some(end(ending, finish.is_some()))
    }

    /// Accepts an output; gives the reason of each answer where the task has all it wanted.
    fn take_output(&mut self, output: &Output) -> Option<Vec<&'static str>> {
        if self.first_output_boot_ms.is_none() {
            self.first_output_boot_ms = Some(self.last_progress_boot_ms);
            let is_first = self.replay.is_empty();
            let mut changing = self.live.changing();
            changing.progress.poison.daemon_ends = 0;
            if is_first && changing.first_token_ms.is_none() {
                let waited_ms = self.live.waited_ms(&*self.shared.clock);
                changing.first_token_ms = Some(waited_ms);
                let waited = Duration::from_millis(waited_ms);
                self.shared.observer.first_token(self.live.labels(), waited);
            }
        }
        let accepted = self.accepted_tokens.zip(output.tokens);
        let accepted = accepted.map(|(sum, tokens)| sum + u64::from(tokens));
        if accepted.is_some_and(|tokens| tokens > self.tokens_max) {
            // An engine that counts well ends by itself; this one does not.
            let further = usize::from(self.live.spec.output.choices().saturating_sub(1));
            let finish = Finish {
                reason: FinishReason::Length,
                further: vec![FinishReason::Length; further],
                prompt_tokens: None,
                output_tokens: None,
            };
            generation::write_finished(&mut self.generation, &finish);
            self.answers.finish(&mut self.pieces);
            self.write_pieces();
            return Some(self.answers.finish_reasons(Some(&finish)));
        }
        self.accepted_tokens = accepted;
        self.generation.reserve(RECORD_BYTES);
        self.events.reserve(RECORD_BYTES);
        generation::write_output(&mut self.generation, output);
        self.answers.push(output, &mut self.pieces);
        self.write_pieces();
        self.answers.is_stopped().then(|| self.answers.finish_reasons(None))
    }

    fn write_pieces(&mut self) {
        if self.options.coalesce_ms > 0 {
            return self.gather_pieces();
        }
        for piece in std::mem::take(&mut self.pieces) {
            wire::write_token(&mut self.events, self.next_event, &piece);
            self.next_event += 1;
            self.event_count += 1;
            self.unshown_tokens += piece.tokens.map_or(0, u64::from);
        }
    }

    /// Counts outputs that came together.
    fn count_outputs(&mut self, outputs: u32) {
        if outputs == 0 {
            return;
        }
        let now_ms = self.last_progress_boot_ms;
        let pause_ms = self.last_output_boot_ms.map(|last| now_ms.saturating_sub(last));
        self.streamed.count_outputs(pause_ms, outputs);
        self.last_output_boot_ms = Some(now_ms);
        if now_ms.saturating_sub(self.streamed_from_boot_ms) >= STREAMED_REPORT_MS {
            self.report_streamed();
            self.streamed_from_boot_ms = now_ms;
        }
    }

    fn report_streamed(&mut self) {
        if !self.streamed.is_empty() {
            self.shared.observer.streamed(self.live.labels(), self.pool_id, &self.streamed);
            self.streamed = Streamed::default();
        }
    }

    /// Makes one piece of those that may share an event.
    fn gather_pieces(&mut self) {
        let mut pieces = std::mem::take(&mut self.pieces);
        for piece in pieces.drain(..) {
            let Some(piece) = (match &mut self.gathered {
                Some(gathered) => gathered.join(piece),
                None => Some(piece),
            }) else {
                continue;
            };
            self.write_gathered();
            self.gathered = Some(piece);
            let window = Duration::from_millis(self.options.coalesce_ms);
            self.shown_at.get_or_insert_with(|| Instant::now() + window);
        }
        self.pieces = pieces;
    }

    fn write_gathered(&mut self) {
        if let Some(piece) = self.gathered.take() {
            wire::write_token(&mut self.events, self.next_event, &piece);
            self.next_event += 1;
            self.event_count += 1;
        }
    }

    /// Whether the tokens that were gathered have waited long enough.
    fn is_due(&self) -> bool {
        self.shown_at.is_some_and(|at| at <= Instant::now())
    }

    fn note_settings(&mut self, settings: serde_json::Value) {
        if settings.is_null() {
            return;
        }
        let json = serde_json::to_vec(&settings).expect("a value is JSON");
        generation::write_settings(&mut self.generation, &json);
        if let Some(attempt) = self.live.changing().progress.attempts.last_mut() {
            attempt.run_settings = Some(settings);
        }
    }

    /// As [`Self::flush`], where it takes no waiting. False where it does, and nothing was written then.
    fn flush_at_once(&mut self) -> bool {
        if self.has_nothing_to_write() && self.gathered.is_none() {
            return true;
        }
        if self.waits_to_show() || self.next_event > self.ids_reserved {
            return false;
        }
        let Ok(region) = self.append(FrameKind::Output) else { return false };
        self.show(region);
        true
    }

    /// Appends what has gathered, then shows it. False where the task was stopped while the device was
    /// full: nothing of it is shown then.
    async fn flush(&mut self, kind: FrameKind) -> bool {
        self.write_gathered();
        self.shown_at = None;
        if self.has_nothing_to_write() && kind == FrameKind::Output {
            return true;
        }
        let mut has_waited = self.reserve_ids().await;
        let region = loop {
            match self.append(kind) {
                Ok(region) => break region,
                Err(error) => {
                    has_waited = true;
                    tokio::select! {
                        () = self.shared.wait_for_room(error) => {}
                        () = self.stop.cancelled() => return false,
                    }
                }
            }
        };
        if self.waits_to_show() && self.event_count > 0 {
            self.shared.sync_events().await;
        }
        if has_waited {
            // That was not the engine's silence.
            self.last_progress_boot_ms = self.shared.clock.boot_ms();
        }
        self.show(region);
        true
    }

    fn has_nothing_to_write(&self) -> bool {
        self.generation.is_empty() && self.event_count == 0
    }

    /// Whether events are shown only once they survive power loss. Tokens that are gathered waited anyway.
    fn waits_to_show(&self) -> bool {
        self.options.sync_before_show || self.options.coalesce_ms > 0
    }

    fn append(&self, kind: FrameKind) -> Result<Region, EventStoreError> {
        self.shared.events.append(&Frame {
            task: self.task,
            kind,
            attempt: self.attempt_number,
            first_event: self.next_event - u64::from(self.event_count),
            event_count: self.event_count,
            generation: &self.generation,
            events: &self.events,
        })
    }

    /// Shows what was appended.
    fn show(&mut self, region: Region) {
        let tokens = self.accepted_tokens.unwrap_or_default();
        self.ahead = self.log.publish(region, &self.events, tokens);
        self.streamed.tokens += std::mem::take(&mut self.unshown_tokens);
        self.generation = Vec::new();
        self.events = Vec::new();
        self.event_count = 0;
    }

    /// Reserves more ids before the last reserved one is shown. Whether there was a need.
    async fn reserve_ids(&mut self) -> bool {
        if self.next_event <= self.ids_reserved {
            return false;
        }
        self.ids_reserved = self.next_event + ID_BLOCK;
        let progress = {
            let mut changing = self.live.changing();
            changing.progress.ids_reserved = self.ids_reserved;
            changing.progress.clone()
        };
        let progress = Box::new(progress);
        let moved = Record::Moved { task: self.live.id, state: TaskState::Running, progress };
        self.shared.commit_until_room(vec![moved]).await;
        true
    }

    /// The verdict where the task was stopped before what had gathered was written.
    fn stopped_unwritten(&self) -> Verdict {
        stopped(self.live, Counted { tokens_out: None, ..self.usage(None) })
    }

    fn mismatch(&self) -> Verdict {
        let message = "what the engine generated again differs from what was shown";
        fail(self.live, ErrorCode::ContinuationMismatch, message, Outcome::Mismatch)
    }

    /// The verdict over an attempt that is silent or runs for too long.
    fn overdue(&self) -> Option<Verdict> {
        if self.wall_left_ms() == 0 {
            let message = "the task ran for longer than scheduling.wall_ms";
            let error = task_error(self.live, ErrorCode::DecodeTimeout, message);
            return Some(end(Ending::failed(error, Outcome::Expired, self.usage(None)), false));
        }
        let silent_ms = self.shared.clock.boot_ms().saturating_sub(self.last_progress_boot_ms);
        (silent_ms >= self.options.idle_ms).then(|| Verdict::Retry {
            reason: RetryReason::Failed,
            cause: format!("the engine was silent for {silent_ms} ms"),
        })
    }

    fn wall_left_ms(&self) -> u64 {
        let runs_ms = self.shared.clock.boot_ms().saturating_sub(self.began_boot_ms);
        self.options.wall_ms.saturating_sub(self.ran_before_ms + runs_ms)
    }

    fn until_watchdog(&self) -> Duration {
        let silent_ms = self.shared.clock.boot_ms().saturating_sub(self.last_progress_boot_ms);
        let idle_left_ms = self.options.idle_ms.saturating_sub(silent_ms);
        let overdue = Duration::from_millis(idle_left_ms.min(self.wall_left_ms()).max(1));
        match self.shown_at {
            Some(at) => overdue.min(at.saturating_duration_since(Instant::now())),
            None => overdue,
        }
    }

    fn usage(&self, finish: Option<&Finish>) -> Counted {
        let told = finish.and_then(|finish| finish.output_tokens).map(u64::from);
        let decode_time_ms = self
            .first_output_boot_ms
            .map_or(0, |first| self.last_progress_boot_ms.saturating_sub(first));
        Counted {
            tokens_in: prompt_tokens(self.live, finish),
            tokens_out: self.answers.tokens_shown().or(told),
            decode_time_ms,
        }
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        self.report_streamed();
    }
}

pub(crate) fn prompt_tokens(live: &LiveTask, finish: Option<&Finish>) -> Option<u64> {
    let rendered = live.changing().prompt_ids.as_ref().map(|ids| ids.len() as u64);
    rendered.or_else(|| finish.and_then(|finish| finish.prompt_tokens).map(u64::from))
}
