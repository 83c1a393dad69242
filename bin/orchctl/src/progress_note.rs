use std::io::{self, IsTerminal as _};

use api_types::{ReportedMetrics, ReportedStep, StepStatus};

use crate::table::byte_size;

/// One line on the standard error that says what is waited for, only when that is a terminal.
pub(crate) struct ProgressNote {
    is_wanted: bool,
    is_shown: bool,
}

impl ProgressNote {
    pub(crate) fn new() -> Self {
        Self { is_wanted: io::stderr().is_terminal(), is_shown: false }
    }

    /// Replaces the line.
    #[expect(clippy::print_stderr, reason = "a note for people, on a terminal only")]
    pub(crate) fn show(&mut self, text: &str) {
        if self.is_wanted {
            self.is_shown = true;
            eprint!("\r\x1b[2K{text}");
        }
    }

    /// Takes the line away.
    #[expect(clippy::print_stderr, reason = "a note for people, on a terminal only")]
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            eprint!("\r\x1b[2K");
        }
    }
}

impl Drop for ProgressNote {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What a waiting task waits for.
pub(crate) fn waiting(metrics: &ReportedMetrics) -> Option<String> {
    let steps = metrics.preparation.iter().flat_map(|preparation| &preparation.steps);
    if let Some(step) = steps.into_iter().find(|step| step.status == StepStatus::Running) {
        return Some(preparing(step));
    }
    if metrics.failover.is_some() {
        return Some("the task goes on elsewhere…".to_owned());
    }
    match metrics.queue_position? {
        0 => Some("queued: next…".to_owned()),
        ahead => Some(format!("queued: {ahead} ahead…")),
    }
}

/// What a step of preparation does, and how far it is.
pub(crate) fn preparing(step: &ReportedStep) -> String {
    let what = match step.kind.as_str() {
        "engine_provision" => "getting the engine ready",
        "model_fetch" => "fetching the model",
        "pool_warmup" => "loading the model",
        _ => "preparing",
    };
    match (step.bytes_done, step.bytes_total) {
        (Some(done), Some(total)) => {
            format!("{what}: {} of {}…", byte_size(done), byte_size(total))
        }
        (Some(done), None) => format!("{what}: {}…", byte_size(done)),
        (None, _) => format!("{what}…"),
    }
}
