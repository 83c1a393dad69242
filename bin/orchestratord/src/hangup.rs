use std::convert::Infallible;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::reload::Reload;

/// The signal that asks for the configuration to be read again.
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// Takes it over from the system, whose own answer to it is to end the process.
    pub(crate) fn new() -> anyhow::Result<Self> {
        signal(SignalKind::hangup()).map(Self).context("cannot handle signals")
    }

    /// Reads the configuration again at each signal, one after the other; signals that come meanwhile are
    /// answered together by one more reading.
    pub(crate) async fn answer(&mut self, reload: &mut Reload<'_>) -> Infallible {
        loop {
            if self.0.recv().await.is_none() {
                std::future::pending::<()>().await; // no signal will come any more
            }
            reload.run().await;
        }
    }
}
