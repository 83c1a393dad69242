use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use tokio::{runtime::Handle, sync::Notify};

use crate::catch::{PanicMessage, catch_poll};

type Boxed<O> = Pin<Box<dyn Future<Output = O> + Send>>;

enum Polled<O> {
    Ended(Result<O, PanicMessage>),
    Pending(Boxed<O>),
}

/// Polls a future on the blocking pool, where it occupies a thread only while its code runs. A poll that is under
/// way cannot be stopped: `kept` is held until it returns, also when this future is dropped before. `None` where
/// the runtime goes away.
pub(super) async fn drive<O: Send + 'static>(
    handle: Handle,
    mut future: Boxed<O>,
    kept: impl Clone + Send + 'static,
) -> Option<Result<O, PanicMessage>> {
    let woken = Arc::new(Woken(Notify::new()));
    loop {
        let (waker, kept) = (Waker::from(Arc::clone(&woken)), kept.clone());
        let polled = handle.spawn_blocking(move || {
            let polled = match catch_poll(future.as_mut(), &mut Context::from_waker(&waker)) {
                Poll::Ready(output) => Polled::Ended(output),
                Poll::Pending => Polled::Pending(future),
            };
            drop(kept);
            polled
        });
        // The closure never panics, so an error means that the runtime is going away.
        match polled.await.ok()? {
            Polled::Ended(output) => return Some(output),
            Polled::Pending(same) => future = same,
        }
        woken.0.notified().await;
    }
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}
