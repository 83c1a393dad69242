use std::{
    io::IsTerminal as _,
    sync::atomic::{AtomicU64, Ordering},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model_provisioner::Progress;

use crate::announce::announce;

/// Shows how far the fetching of a model is: a bar on a terminal, else a line each ten per cent.
pub(crate) struct ProgressLine {
    model: String,
    bar: Option<ProgressBar>,
    /// The next tenth to be told.
    next_tenth: AtomicU64,
}

impl ProgressLine {
    pub(crate) fn new(model: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let shape = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            bar.set_style(
                ProgressStyle::with_template(shape).expect("the template is well-formed"),
            );
            bar
        });
        Self { model: model.to_owned(), bar, next_tenth: AtomicU64::new(0) }
    }

    /// Shows how far it is.
    pub(crate) fn show(&self, progress: &Progress) {
        let (verb, done, total) = match progress {
            Progress::LookingUp => return,
            Progress::Fetching { bytes_done, bytes_total } => {
                ("fetching", *bytes_done, bytes_total.unwrap_or_default())
            }
            Progress::Verifying { bytes_done, bytes_total } => {
                ("verifying", *bytes_done, *bytes_total)
            }
        };
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{verb} {}", self.model));
                bar.set_length(total);
                bar.set_position(done);
            }
            None if verb == "fetching" => self.tell(done, total),
            None => {}
        }
    }

    fn tell(&self, done: u64, total: u64) {
        let Some(tenth) = (done * 10).checked_div(total) else { return };
        if tenth >= self.next_tenth.load(Ordering::Relaxed) {
            self.next_tenth.store(tenth + 1, Ordering::Relaxed);
            announce(&format!(
                "fetching {}: {} % ({} of {} MB)",
                self.model,
                tenth * 10,
                done / 1_000_000,
                total / 1_000_000
            ));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
