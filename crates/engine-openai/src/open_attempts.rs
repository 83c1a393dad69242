use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use adapter_host::{AdapterError, AttemptId};
use bytes::Bytes;
use futures_util::task::AtomicWaker;

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
struct Connection {
    state: Mutex<State>,
    reader: AtomicWaker,
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
        let connection =
            Arc::new(Connection { state: Mutex::new(State::Sent), reader: AtomicWaker::new() });
        self.by_id.lock().expect("no holder panics").insert(id, Arc::clone(&connection));
        OpenAttempt { id, connection, among: Arc::clone(self) }
    }

    /// Closes the connection of an attempt, if it is open.
    pub(crate) fn abort(&self, id: AttemptId) {
        let connection = self.by_id.lock().expect("no holder panics").get(&id).map(Arc::clone);
        if let Some(connection) = connection {
            let former = std::mem::replace(
                &mut *connection.state.lock().expect("no holder panics"),
                State::Aborted,
            );
            drop(former); // with the body, the connection
            connection.reader.wake();
        }
    }
}

impl OpenAttempt {
    /// Resolves when the attempt is aborted.
    pub(crate) async fn aborted(&self) {
        poll_fn(|cx| {
            self.connection.reader.register(cx.waker());
            match *self.connection.state.lock().expect("no holder panics") {
                State::Aborted => Poll::Ready(()),
                State::Sent | State::Open(_) => Poll::Pending,
            }
        })
        .await;
    }

    /// Hands over the body of the response, unless the attempt was aborted before it came.
    pub(crate) fn receive(&self, body: AnswerBody) -> Result<(), AdapterError> {
        let mut state = self.connection.state.lock().expect("no holder panics");
        if matches!(*state, State::Aborted) {
            return Err(AdapterError::Aborted);
        }
        *state = State::Open(Box::new(body));
        Ok(())
    }

    /// The next bytes of the body, or `None` at its end.
    pub(crate) fn poll_bytes(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, AdapterError>> {
        self.connection.reader.register(cx.waker());
        let mut state = self.connection.state.lock().expect("no holder panics");
        let State::Open(body) = &mut *state else { return Poll::Ready(Err(AdapterError::Aborted)) };
        match ready!(body.poll_bytes(cx)) {
            None => Poll::Ready(Ok(None)),
            Some(Ok(bytes)) => Poll::Ready(Ok(Some(bytes))),
            Some(Err(error)) => {
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
