use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use adapter_host::{AdapterError, AttemptId, StopSignal};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::connections::AnswerBody;

/// The attempts between their submission and the end of their streams, so that anyone can abort them.
/// There are as many as the callers hold.
#[derive(Debug, Default)]
pub(crate) struct OpenAttempts {
    by_id: Mutex<HashMap<AttemptId, CancellationToken>>,
}

/// An attempt's place among the open ones, and what is read of its answer; dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct OpenAttempt {
    id: AttemptId,
    aborted: StopSignal,
    /// There from the head of the response to its end.
    body: Option<AnswerBody>,
    among: Arc<OpenAttempts>,
}

impl OpenAttempts {
    pub(crate) fn open(self: &Arc<Self>, id: AttemptId) -> OpenAttempt {
        let abort = CancellationToken::new();
        let aborted = StopSignal::new(abort.clone());
        self.by_id.lock().expect("no holder panics").insert(id, abort);
        OpenAttempt { id, aborted, body: None, among: Arc::clone(self) }
    }

    /// Wakes whoever reads the attempt's answer, if it is open, so that they close its connection.
    pub(crate) fn abort(&self, id: AttemptId) {
        let abort = self.by_id.lock().expect("no holder panics").get(&id).cloned();
        if let Some(abort) = abort {
            abort.cancel();
        }
    }
}

impl OpenAttempt {
    /// Resolves when the attempt is aborted.
    pub(crate) async fn aborted(&mut self) {
        poll_fn(|cx| self.aborted.poll(cx)).await;
    }

    /// Takes the body of the response.
    pub(crate) fn receive(&mut self, body: AnswerBody) {
        self.body = Some(body);
    }

    /// The next bytes of the body, or `None` at its end.
    pub(crate) fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, AdapterError>> {
        if self.aborted.poll(cx).is_ready() {
            self.body = None; // and with it the connection
            return Poll::Ready(Err(AdapterError::Aborted));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
        Poll::Ready(match ready!(body.poll_bytes(cx)).transpose() {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                tracing::debug!(attempt = %self.id, error = &error as &dyn std::error::Error, "connection lost");
                Err(AdapterError::Lost { reason: "the connection broke off".to_owned() })
            }
        })
    }
}

impl Drop for OpenAttempt {
    fn drop(&mut self) {
        self.among.by_id.lock().expect("no holder panics").remove(&self.id);
    }
}
