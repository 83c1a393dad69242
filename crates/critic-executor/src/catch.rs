//! Panics of foreign code as values.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a panic said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PanicMessage(pub(crate) String);

impl PanicMessage {
    pub(crate) fn of(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "panic without a message".to_owned()))
    }
}

/// Calls foreign code.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, PanicMessage> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).map_err(|panic| PanicMessage::of(&*panic))
}

/// Polls a foreign future once.
pub(crate) fn catch_poll<F: Future + ?Sized>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, PanicMessage>> {
    match catch(|| future.poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// Drives a foreign future to its end or its panic.
pub(crate) async fn catch_unwind<F: Future>(future: F) -> Result<F::Output, PanicMessage> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| catch_poll(future.as_mut(), cx)).await
}
