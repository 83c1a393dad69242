use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Waits for a cancellation in tasks that are polled for each token of an answer: it registers once for each
/// waker, and not at each poll.
#[derive(Debug)]
pub struct StopSignal {
    token: CancellationToken,
    fired: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Who is woken by the token.
    wakes: Option<Waker>,
}

impl StopSignal {
    /// Waits for `token`.
    #[must_use]
    pub fn new(token: CancellationToken) -> Self {
        Self { fired: Box::pin(token.clone().cancelled_owned()), token, wakes: None }
    }

    /// Ready once the token was cancelled, at this poll and all that follow.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.token.is_cancelled() {
            return Poll::Ready(());
        }
        if self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.wakes = Some(cx.waker().clone());
        self.fired.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_last_is_woken() {
        let token = CancellationToken::new();
        let mut signal = StopSignal::new(token.clone());
        let mut nobody = Context::from_waker(task::Waker::noop());
        assert!(signal.poll(&mut nobody).is_pending());
        assert!(signal.poll(&mut nobody).is_pending());
        let ((), ()) = tokio::join!(poll_fn(|cx| signal.poll(cx)), async { token.cancel() });
        assert!(signal.poll(&mut nobody).is_ready());
    }
}
