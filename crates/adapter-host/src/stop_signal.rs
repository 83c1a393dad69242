use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Alarms that rang, of all signals of the process.
static RUNG: AtomicU64 = AtomicU64::new(0);

/// Waits for a cancellation in tasks that are polled for each token of an answer: it registers once for each
/// waker. A poll in between takes no lock, and looks at nothing but the signal itself and one number that all
/// signals share: memory that belongs to one stream alone is rarely near the core when its next token comes.
#[derive(Debug)]
pub struct StopSignal {
    fired: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Who is woken by the token, and what tells that it was.
    registered: Option<(Waker, Arc<Alarm>)>,
    /// [`RUNG`] before the alarm was last found silent.
    silent_at: u64,
    has_fired: bool,
}

/// What the token wakes.
#[derive(Debug)]
struct Alarm {
    has_rung: AtomicBool,
    task: Waker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        RUNG.fetch_add(1, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl StopSignal {
    /// Waits for `token`.
    #[must_use]
    pub fn new(token: CancellationToken) -> Self {
        Self {
            fired: Box::pin(token.cancelled_owned()),
            registered: None,
            silent_at: 0,
            has_fired: false,
        }
    }

    /// Ready once the token was cancelled, at this poll and all that follow.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_fired {
            return Poll::Ready(());
        }
        match &self.registered {
            Some((task, alarm)) if task.will_wake(cx.waker()) => {
                let rung = RUNG.load(Ordering::Acquire);
                if rung == self.silent_at {
                    return Poll::Pending;
                }
                self.silent_at = rung;
                self.has_fired = alarm.has_rung.load(Ordering::Acquire);
                if self.has_fired { Poll::Ready(()) } else { Poll::Pending }
            }
            _ => self.register(cx.waker()),
        }
    }

    fn register(&mut self, task: &Waker) -> Poll<()> {
        let alarm = Arc::new(Alarm { has_rung: AtomicBool::new(false), task: task.clone() });
        let waker = Waker::from(Arc::clone(&alarm));
        self.silent_at = RUNG.load(Ordering::Acquire);
        self.registered = Some((task.clone(), alarm));
        let fired = self.fired.as_mut().poll(&mut Context::from_waker(&waker));
        self.has_fired = fired.is_ready();
        fired
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

    #[test]
    fn a_token_cancelled_before_the_first_poll_is_seen_at_it() {
        let token = CancellationToken::new();
        token.cancel();
        let mut signal = StopSignal::new(token.child_token());
        let mut nobody = Context::from_waker(task::Waker::noop());
        assert!(signal.poll(&mut nobody).is_ready());
        assert!(signal.poll(&mut nobody).is_ready());
    }

    #[test]
    fn a_cancellation_between_polls_is_seen_at_the_next_one_without_a_wake_up() {
        let token = CancellationToken::new();
        let mut signal = StopSignal::new(token.child_token());
        let mut nobody = Context::from_waker(task::Waker::noop());
        assert!(signal.poll(&mut nobody).is_pending());
        token.cancel();
        assert!(signal.poll(&mut nobody).is_ready());
    }
}
