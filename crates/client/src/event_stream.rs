use std::time::Duration;

use reqwest::{
    Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use sse::Parser;
use tokio::time::Instant;

use crate::{
    Client, ClientError, Loss, StreamFault, TaskEvent, patience::Patience, position::Position,
};

/// Longest event that is read.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// A connection without events is a sign of life only once it has lasted so long: a daemon that is short of
/// streams answers and closes at once.
const LASTING: Duration = Duration::from_secs(1);

/// A task's events, over as many connections as it takes.
///
/// A connection that breaks, falls silent or is closed before the task's last event is opened anew after a
/// pause, and the stream resumes behind the last event that was handed out.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    url: Url,
    position: Position,
    connection: Option<Connection>,
    /// Not before this instant is the next connection opened.
    resume_at: Option<Instant>,
    /// There is one from a loss until the next sign of life.
    patience: Option<Patience>,
    was_open: bool,
    is_over: bool,
}

/// What there is to tell of a stream.
#[derive(Debug)]
pub enum Update {
    /// The next event.
    Event(TaskEvent),
    /// The connection was lost, or could not be opened again. The stream goes on by itself.
    Interrupted {
        /// Why.
        cause: ClientError,
        /// Pause before the next try, in milliseconds.
        resume_in_ms: u64,
    },
}

impl EventStream {
    pub(crate) fn new(client: Client, task_id: &str, after: u64) -> Self {
        let url = client.url(&["v2", "tasks", task_id, "events"]);
        Self {
            client,
            url,
            position: Position { last: after },
            connection: None,
            resume_at: None,
            patience: None,
            was_open: false,
            is_over: false,
        }
    }

    /// Id of the last stored event that was handed out, or where the stream began.
    #[must_use]
    pub fn last_event_id(&self) -> u64 {
        self.position.last
    }

    /// The next event; `None` after the task's last one, when nothing was left in the first place, and after
    /// an error. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError`]; the stream is over then, and [`Self::last_event_id`] says from where another one may
    /// go on.
    pub async fn next(&mut self) -> Result<Option<TaskEvent>, ClientError> {
        loop {
            match self.next_update().await? {
                Some(Update::Event(event)) => return Ok(Some(event)),
                Some(Update::Interrupted { .. }) => {}
                None => return Ok(None),
            }
        }
    }

    /// Like [`Self::next`], and tells of interruptions too.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub async fn next_update(&mut self) -> Result<Option<Update>, ClientError> {
        while !self.is_over {
            let step = match &self.connection {
                Some(_) => self.read().await,
                None => self.connect().await,
            };
            match step {
                Ok(None) => {}
                Ok(Some(event)) => {
                    self.is_over = event.body.is_terminal();
                    return Ok(Some(Update::Event(event)));
                }
                Err(error) => return self.interrupted(error).map(Some),
            }
        }
        Ok(None)
    }

    async fn connect(&mut self) -> Result<Option<TaskEvent>, ClientError> {
        if let Some(resume_at) = self.resume_at {
            tokio::time::sleep_until(resume_at).await;
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if self.position.last > 0 {
            headers.insert(HeaderName::from_static("last-event-id"), self.position.last.into());
        }
        let response = self.client.open(self.url.clone(), headers).await?;
        if response.status() == StatusCode::NO_CONTENT {
            if self.was_open {
                return Err(self.fault(StreamFault::NoEnd));
            }
            self.is_over = true;
            return Ok(None);
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if !content_type.starts_with(b"text/event-stream") {
            let content_type = String::from_utf8_lossy(content_type).into_owned();
            return Err(self.fault(StreamFault::NotEvents { content_type }));
        }
        self.was_open = true;
        self.resume_at = None;
        let parser = Parser::new(EVENT_BYTES_MAX);
        self.connection = Some(Connection { response, parser, opened_at: Instant::now() });
        Ok(None)
    }

    /// The next event of the connection, or `None` after more bytes of it.
    async fn read(&mut self) -> Result<Option<TaskEvent>, ClientError> {
        let Some(connection) = &mut self.connection else { return Ok(None) };
        match connection.parser.next_event() {
            Ok(Some(event)) => {
                self.patience = None;
                self.position.advance(event).map(Some).map_err(|fault| self.fault(fault))
            }
            Ok(None) => {
                let received = connection.receive(self.client.silence_timeout_ms()).await;
                received.map_err(|loss| self.client.lost(loss))?;
                if connection.opened_at.elapsed() >= LASTING {
                    self.patience = None;
                }
                Ok(None)
            }
            Err(error) => Err(self.fault(error.into())),
        }
    }

    /// Prepares the next try, or gives up.
    fn interrupted(&mut self, cause: ClientError) -> Result<Update, ClientError> {
        self.connection = None;
        let now = Instant::now();
        let patience = self.patience.get_or_insert_with(|| Patience::new(now));
        let Some(pause) = self.client.pause_after(&cause, patience) else {
            self.is_over = true;
            return Err(cause);
        };
        self.resume_at = Some(now + pause);
        let resume_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Ok(Update::Interrupted { cause, resume_in_ms })
    }

    fn fault(&self, fault: StreamFault) -> ClientError {
        ClientError::Stream { request: format!("GET {}", self.url.path()), fault }
    }
}

#[derive(Debug)]
struct Connection {
    response: Response,
    parser: Parser,
    opened_at: Instant,
}

impl Connection {
    /// Waits for more bytes, of whatever kind.
    async fn receive(&mut self, silence_timeout_ms: u64) -> Result<(), Loss> {
        let silence = Duration::from_millis(silence_timeout_ms);
        match tokio::time::timeout(silence, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.parser.push(bytes);
                Ok(())
            }
            Ok(Ok(None)) => Err(Loss::Closed { retry_ms: self.parser.retry_ms() }),
            Ok(Err(error)) => Err(Loss::Broken(error.without_url())),
            Err(_elapsed) => Err(Loss::Silent { waited_ms: silence_timeout_ms }),
        }
    }
}
