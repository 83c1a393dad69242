use fetch::Transferred;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a provisioner is doing for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It looks whether the model is there, and where it is to be had.
    LookingUp,
    /// It fetches the model, or the archive that holds it.
    Fetching {
        /// Bytes that are there.
        bytes_done: u64,
        /// Bytes of the whole, where the server says so.
        bytes_total: Option<u64>,
    },
    /// It reads all bytes and checks them; a model in an archive is taken out by the way.
    Verifying {
        /// Bytes that were read.
        bytes_done: u64,
        /// Bytes of the model.
        bytes_total: u64,
    },
}

/// Where work reports to, and where it learns that nobody wants it any more.
#[derive(Clone)]
pub(crate) struct Steps {
    pub(crate) progress: watch::Sender<Progress>,
    /// Ends work on threads that cannot be dropped.
    pub(crate) stop: CancellationToken,
}

impl Steps {
    pub(crate) fn fetching(&self, now: Transferred) {
        let Transferred { bytes_done, bytes_total } = now;
        self.progress.send_replace(Progress::Fetching { bytes_done, bytes_total });
    }

    pub(crate) fn verifying(&self, bytes_done: u64, bytes_total: u64) {
        self.progress.send_replace(Progress::Verifying { bytes_done, bytes_total });
    }
}
