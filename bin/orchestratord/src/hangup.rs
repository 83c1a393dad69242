use std::convert::Infallible;

use anyhow::Context as _;
use config_schema::Config;
use narration::{Fact, human};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::Cli, entrance::Entrance, environment::Environment, logging::Logging, preflight,
    service_manager::ServiceManager,
};

/// The signal that asks for what can change while the daemon runs to be read again.
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// Takes it over from the system, whose own answer to it is to end the process.
    pub(crate) fn new() -> anyhow::Result<Self> {
        signal(SignalKind::hangup()).map(Self).context("cannot handle signals")
    }

    /// Reads the configuration again at each signal, and lets tokens, certificates and the level of the log hold. What is wrong is
    /// logged, all of it, and changes nothing; sections that differ from those of the start and need a
    /// restart are named.
    pub(crate) async fn reload(
        &mut self,
        cli: &Cli,
        environment: &Environment,
        entrance: &Entrance,
        manager: &ServiceManager,
        started_with: &Config,
        logging: &Logging,
    ) -> Infallible {
        loop {
            if self.0.recv().await.is_none() {
                std::future::pending::<()>().await; // no signal will come any more
            }
            manager.reloading();
            match reload(cli, environment, entrance, logging) {
                Ok(config) => {
                    let need_restart = changed_sections(started_with, &config).join(", ");
                    tracing::info!(event = "reloaded", human = human(&Fact::Reloaded));
                    if !need_restart.is_empty() {
                        tracing::warn!(
                            event = "restart_needed",
                            need_restart,
                            "these sections changed and hold from the next start on"
                        );
                    }
                }
                Err(error) => tracing::error!(
                    event = "reload_refused",
                    error = format!("{error:#}"),
                    human = human(&Fact::ReloadRefused),
                ),
            }
            manager.ready();
        }
    }
}

fn reload(
    cli: &Cli,
    environment: &Environment,
    entrance: &Entrance,
    logging: &Logging,
) -> anyhow::Result<Config> {
    let loaded = environment.load(cli)?;
    preflight::check(&loaded, environment)?;
    entrance.reload(&loaded.config)?;
    logging.set_level(loaded.config.log.level)?;
    Ok(loaded.config)
}

/// Names of the sections that differ, but for those that hold at once.
fn changed_sections(former: &Config, config: &Config) -> Vec<String> {
    let mut former = former.clone();
    former.log.level = config.log.level;
    let (former, config) = (sections(&former), sections(config));
    let names =
        former.keys().chain(config.keys()).filter(|name| !["auth", "tls"].contains(&name.as_str()));
    let mut changed: Vec<String> =
        names.filter(|name| former.get(*name) != config.get(*name)).cloned().collect();
    changed.sort();
    changed.dedup();
    changed
}

fn sections(config: &Config) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(config).expect("the configuration is JSON") {
        serde_json::Value::Object(sections) => sections,
        _ => unreachable!("the configuration has sections"),
    }
}
