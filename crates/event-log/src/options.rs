/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment at least this long, in bytes, is followed by the next. It may get longer by one frame,
    /// and while the device has no room for the next one.
    pub segment_bytes: u64,
    /// Pause between an append and the fsync that covers it, in milliseconds, where nobody asks for one
    /// sooner.
    pub sync_every_ms: u64,
    /// Opens a log although frames that were written are missing or damaged. They are skipped, and their
    /// places are marked, so that the next start needs this no more.
    pub accept_loss: bool,
}

impl Default for LogOptions {
    /// Segments of 64 MiB; an fsync after 80 ms, which leaves the device 20 of the 100 ms after which a
    /// frame has to survive power loss; no loss accepted.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, sync_every_ms: 80, accept_loss: false }
    }
}
