use std::convert::Infallible;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{cli::Cli, entrance::Entrance, environment::Environment};

/// The signal that asks for what can change while the daemon runs to be read again.
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// Takes it over from the system, whose own answer to it is to end the process.
    pub(crate) fn new() -> anyhow::Result<Self> {
        signal(SignalKind::hangup()).map(Self).context("cannot handle signals")
    }

    /// Reads tokens and certificates again at each signal. What is wrong is logged and changes nothing.
    pub(crate) async fn reload(
        &mut self,
        cli: &Cli,
        environment: &Environment,
        entrance: &Entrance,
    ) -> Infallible {
        loop {
            if self.0.recv().await.is_none() {
                std::future::pending::<()>().await; // no signal will come any more
            }
            let reloaded = environment.load(cli).and_then(|loaded| entrance.reload(&loaded.config));
            match reloaded {
                Ok(()) => {
                    tracing::info!(event = "reloaded", "tokens and certificates were read again")
                }
                Err(error) => tracing::error!(
                    event = "reload_refused",
                    error = format!("{error:#}"),
                    "nothing was changed"
                ),
            }
        }
    }
}
