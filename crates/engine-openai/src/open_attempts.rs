use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use adapter_host::{AdapterError, AttemptId};
use bytes::Bytes;

use crate::connections::AnswerBody;

/// The attempts between their submission and the end of their streams, so that anyone can abort them.
/// There are as many as the callers hold.
#[derive(Debug, Default)]
pub(crate) struct OpenAttempts {
    by_id: Mutex<HashMap<AttemptId, Arc<Connection>>>,
}

/// An attempt's place among the open ones; dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct OpenAttempt {
    id: AttemptId,
    connection: Arc<Connection>,
    among: Arc<OpenAttempts>,
}

/// Shared by the stream that reads and by whoever aborts. The lock is held for single polls only, and
/// nobody waits for it but an abort that meets one.
#[derive(Debug)]
struct Connection(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    state: State,
    /// Whoever reads, while there is nothing to read.
    reader: Option<Waker>,
}

#[derive(Debug)]
enum State {
    /// The head of the response is not there yet.
    Sent,
    Open(Box<AnswerBody>),
    Aborted,
}

impl OpenAttempts {
    pub(crate) fn open(self: &Arc<Self>, id: AttemptId) -> OpenAttempt {
        let inner = Inner { state: State::Sent, reader: None };
        let connection = Arc::new(Connection(Mutex::new(inner)));
        self.by_id.lock().expect("no holder panics").insert(id, Arc::clone(&connection));
        OpenAttempt { id, connection, among: Arc::clone(self) }
    }

    /// Closes the connection of an attempt, if it is open.
    pub(crate) fn abort(&self, id: AttemptId) {
        let connection = self.by_id.lock().expect("no holder panics").get(&id).map(Arc::clone);
        if let Some(connection) = connection {
            let (former, reader) = {
                let mut inner = connection.lock();
                (std::mem::replace(&mut inner.state, State::Aborted), inner.reader.take())
            };
            drop(former); // with the body, the connection
            if let Some(reader) = reader {
                reader.wake();
            }
        }
    }
}

impl Connection {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder panics")
    }
}

impl Inner {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl OpenAttempt {
    /// Resolves when the attempt is aborted.
    pub(crate) async fn aborted(&self) {
        poll_fn(|cx| {
            let mut inner = self.connection.lock();
            match inner.state {
                State::Aborted => Poll::Ready(()),
                State::Sent | State::Open(_) => {
                    inner.wait(cx);
                    Poll::Pending
                }
            }
        })
        .await;
    }

    /// Hands over the body of the response, unless the attempt was aborted before it came.
    pub(crate) fn receive(&self, body: AnswerBody) -> Result<(), AdapterError> {
        let mut inner = self.connection.lock();
        if matches!(inner.state, State::Aborted) {
            return Err(AdapterError::Aborted);
        }
        inner.state = State::Open(Box::new(body));
        Ok(())
    }

    /// The next bytes of the body, or `None` at its end.
    pub(crate) fn poll_bytes(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, AdapterError>> {
        let mut inner = self.connection.lock();
        let State::Open(body) = &mut inner.state else {
            return Poll::Ready(Err(AdapterError::Aborted));
        };
        match body.poll_bytes(cx) {
            Poll::Pending => {
                inner.wait(cx);
                Poll::Pending
            }
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Ok(Some(bytes))),
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(attempt = %self.id, error = &error as &dyn std::error::Error, "connection lost");
                let reason = "the connection broke off".to_owned();
                Poll::Ready(Err(AdapterError::Lost { reason }))
            }
        }
    }
}

impl Drop for OpenAttempt {
    fn drop(&mut self) {
        self.among.by_id.lock().expect("no holder panics").remove(&self.id);
    }
}
