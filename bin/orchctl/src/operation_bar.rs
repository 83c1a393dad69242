use std::io::{self, IsTerminal as _};

use api_types::{OperationProgress, ReportedOperation};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::{output::without_control, table::byte_size};

/// Tenths of the whole after which a line is told where no bar can be drawn.
const TENTHS: u64 = 10;

/// Says on the standard error how far an operation is: a bar on a terminal, else a line for each step and
/// each tenth of it, which for programs is JSON.
pub(crate) struct OperationBar {
    what: String,
    as_json: bool,
    bar: Option<ProgressBar>,
    /// The step and tenth that were told last.
    told: Option<(Option<String>, u64)>,
}

impl OperationBar {
    /// Nothing is drawn yet.
    pub(crate) fn new(what: &str, as_json: bool) -> Self {
        let bar = (!as_json && io::stderr().is_terminal())
            .then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        Self { what: without_control(what), as_json, bar, told: None }
    }

    /// Shows how far it is.
    pub(crate) fn show(&mut self, operation: &ReportedOperation) {
        let progress = &operation.progress;
        if let Some(bar) = &self.bar {
            let style = match progress.bytes_total {
                Some(_) => "{prefix} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}{msg}",
                None => "{prefix} {decimal_bytes}{msg}",
            };
            bar.set_style(
                ProgressStyle::with_template(style).expect("the template is well-formed"),
            );
            bar.set_prefix(format!("{}: {}", self.what, step_words(progress)));
            bar.set_message(left(progress));
            bar.set_length(progress.bytes_total.unwrap_or_default());
            bar.set_position(progress.bytes_done.unwrap_or_default());
            bar.tick();
            return;
        }
        let now = (progress.step.clone(), tenth(progress));
        if !operation.state.known().is_some_and(|state| state.is_terminal())
            && self.told.as_ref() != Some(&now)
        {
            self.told = Some(now);
            self.tell(operation);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    #[expect(clippy::print_stderr, reason = "progress stands beside the output")]
    fn tell(&self, operation: &ReportedOperation) {
        if self.as_json {
            eprintln!("{}", json!({ "operation": operation }));
            return;
        }
        eprintln!("{}: {}", self.what, progress_words(&operation.progress));
    }
}

/// Step, size and time left, in words.
pub(crate) fn progress_words(progress: &OperationProgress) -> String {
    let size = match (progress.bytes_done, progress.bytes_total) {
        (Some(done), Some(total)) => format!(", {} of {}", byte_size(done), byte_size(total)),
        (Some(done), None) => format!(", {}", byte_size(done)),
        (None, _) => String::new(),
    };
    format!("{}{size}{}", step_words(progress), left(progress))
}

fn tenth(progress: &OperationProgress) -> u64 {
    let done = progress.bytes_done.unwrap_or_default();
    let total = progress.bytes_total.unwrap_or_default();
    done.saturating_mul(TENTHS).checked_div(total).unwrap_or_default()
}

fn step_words(progress: &OperationProgress) -> String {
    match progress.step.as_deref() {
        None => "waiting for its turn".to_owned(),
        Some("looking_up") => "looking it up".to_owned(),
        Some("waiting") => "waiting for its last user".to_owned(),
        Some(step) => without_control(step),
    }
}

fn left(progress: &OperationProgress) -> String {
    match progress.estimated_ms.map(|left_ms| left_ms.div_ceil(1000)) {
        None | Some(0) => String::new(),
        Some(seconds @ 1..120) => format!(", {seconds} s left"),
        Some(seconds) => format!(", {} min left", seconds.div_ceil(60)),
    }
}
