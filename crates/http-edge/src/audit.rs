use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use api_types::ErrorCode;
use tokio::time::Instant;

use crate::{ClientIdentity, CorrelationId};

/// Successes of one caller are told once in this time, with how many there were.
const SUCCESS_WINDOW: Duration = Duration::from_secs(60);

/// Failures with one code are told up to [`FAILURE_LINES`] times in this time, so that a flood of them cannot
/// fill a disk.
const FAILURE_WINDOW: Duration = Duration::from_secs(10);
const FAILURE_LINES: u32 = 10;

/// Callers remembered at most; beyond them all are forgotten, and told anew.
const CALLERS_MAX: usize = 4096;

/// Who came in and who did not, as log events (ORCH-235). All have `audit`, `event`, `outcome`, `caller`,
/// `identity`, `peer`, `correlation_id` and `suppressed`, which is how many like it were not told before it;
/// failures have `code`, too.
#[derive(Default)]
pub(crate) struct Audit(Mutex<Windows>);

#[derive(Default)]
struct Windows {
    successes: HashMap<String, Window>,
    failures: HashMap<&'static str, Window>,
}

/// One request as the audit tells it.
#[derive(Clone, Copy)]
pub(crate) struct Witness<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) correlation_id: &'a CorrelationId,
}

impl Audit {
    pub(crate) fn succeeded(&self, who: &ClientIdentity, witness: Witness<'_>) {
        if who.scope().is_none() {
            return; // nothing was judged
        }
        let mut windows = self.windows();
        if windows.successes.len() >= CALLERS_MAX && !windows.successes.contains_key(who.caller()) {
            windows.successes.clear();
        }
        let told = match windows.successes.get_mut(who.caller()) {
            Some(window) => window.tell(SUCCESS_WINDOW, 1),
            None => {
                let mut window = Window::default();
                let told = window.tell(SUCCESS_WINDOW, 1);
                windows.successes.insert(who.caller().to_owned(), window);
                told
            }
        };
        drop(windows);
        let Some(suppressed) = told else { return };
        tracing::info!(
            target: "audit",
            audit = true,
            event = "auth_succeeded",
            outcome = "success",
            caller = who.caller(),
            identity = who.as_str(),
            peer = %witness.peer,
            correlation_id = %witness.correlation_id,
            suppressed,
        );
    }

    /// Somebody was turned away.
    pub(crate) fn failed(&self, code: ErrorCode, who: &ClientIdentity, witness: Witness<'_>) {
        let code = code.name();
        let told =
            self.windows().failures.entry(code).or_default().tell(FAILURE_WINDOW, FAILURE_LINES);
        let Some(suppressed) = told else { return };
        tracing::warn!(
            target: "audit",
            audit = true,
            event = "auth_failed",
            outcome = "failure",
            code,
            caller = who.caller(),
            identity = who.as_str(),
            peer = %witness.peer,
            correlation_id = %witness.correlation_id,
            suppressed,
        );
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.0.lock().expect("no holder panics")
    }
}

/// How much was told of one kind of event lately.
#[derive(Default)]
struct Window {
    since: Option<Instant>,
    told: u32,
    suppressed: u64,
}

impl Window {
    /// Whether one more is told now, and if so, how many were not since the last that was.
    fn tell(&mut self, length: Duration, lines: u32) -> Option<u64> {
        let now = Instant::now();
        if self.since.is_none_or(|since| now.duration_since(since) >= length) {
            self.since = Some(now);
            self.told = 0;
        }
        if self.told >= lines {
            self.suppressed += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}
