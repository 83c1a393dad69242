use std::{collections::BTreeMap, sync::Arc, time::Duration};

use config_schema::Config;
use http_edge::EdgeControl;
use model_provisioner::Provisioner;
use narration::{Fact, human};
use orchestrator::Orchestrator;
use tokio::sync::watch;

use crate::{
    abilities::Abilities,
    cli::Cli,
    current::Current,
    daemon, descriptors,
    entrance::Entrance,
    environment::Environment,
    event_stream::Pace,
    handoff_pools::Terms,
    logging::Logging,
    models::Models,
    pools::{PoolChanges, Pools, Setup},
    preflight, provisioning,
    service_manager::ServiceManager,
};

/// Who asks for a reload, as audit events name them: a signal does not say who sent it, and only the daemon's
/// own user and root may.
const CALLER: &str = "signal";

/// What reads the configuration again, and lets what changed hold.
pub(crate) struct Reload<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) environment: &'a Environment,
    pub(crate) logging: &'a Logging,
    pub(crate) entrance: &'a Entrance,
    pub(crate) manager: &'a ServiceManager,
    pub(crate) orchestrator: Arc<Orchestrator>,
    pub(crate) models: Arc<Models>,
    pub(crate) provisioner: Provisioner,
    pub(crate) edge: EdgeControl,
    pub(crate) pace: Current<Pace>,
    pub(crate) abilities: Current<Abilities>,
    pub(crate) pools: Pools,
    pub(crate) handoff: watch::Sender<Terms>,
    /// What holds now.
    pub(crate) config: Config,
}

impl Reload<'_> {
    /// Reads it once. A configuration with anything wrong changes nothing, and all that is wrong is logged.
    /// Otherwise each key that differs is logged, those that need a restart as such.
    pub(crate) async fn run(&mut self) {
        self.manager.reloading();
        match self.read() {
            Ok((wanted, pools)) => self.apply(&wanted, pools).await,
            Err(error) => tracing::error!(
                target: "audit",
                audit = true,
                event = "reload_refused",
                outcome = "failure",
                caller = CALLER,
                error = format!("{error:#}"),
                human = human(&Fact::ReloadRefused),
            ),
        }
        self.manager.ready();
    }

    /// Reads and checks everything, and takes over tokens and certificates, which alone can fail then.
    fn read(&self) -> anyhow::Result<(Config, BTreeMap<String, Setup>)> {
        let loaded = self.environment.load(self.cli)?;
        preflight::check(&loaded, self.environment)?;
        let held = self.config.reread(&loaded.config);
        let pools = Setup::all(&held)?;
        self.entrance.reload(&held, &loaded.config)?;
        Ok((loaded.config, pools))
    }

    async fn apply(&mut self, wanted: &Config, pools: BTreeMap<String, Setup>) {
        let former = std::mem::take(&mut self.config);
        self.config = former.reread(wanted);
        let config = &self.config;
        if let Err(error) = self.logging.apply(&config.log) {
            tracing::error!(event = "reload_incomplete", error = format!("{error:#}"));
        }
        // Names come first, as they hold from the next submission on.
        if let Err(error) = self.models.apply(config).await {
            tracing::error!(
                event = "reload_incomplete",
                %error,
                "not all names of models could be given; send the signal again"
            );
        }
        self.provisioner.set_model_roots(provisioning::model_roots(config));
        self.orchestrator.set_options(daemon::options(config));
        if config.server.connections_max != former.server.connections_max {
            descriptors::raise(config.server.connections_max);
        }
        self.edge.set(daemon::limits(config), config.cors.allowed_origins.clone());
        self.pace.set(Pace::of(config));
        self.abilities.set(Abilities::of(config));
        self.handoff.send_replace(Terms::of(config));
        let limit = Duration::from_millis(config.scheduling.pool_drain_ms);
        let changes = self.pools.become_as(pools, limit);
        tell(&former, config, wanted, &changes);
    }
}

fn tell(former: &Config, config: &Config, wanted: &Config, pools: &PoolChanges) {
    for change in former.changes(config) {
        tracing::info!(
            target: "audit",
            event = "config_changed",
            audit = true,
            outcome = "success",
            caller = CALLER,
            key = change.key,
            from = change.from,
            to = change.to,
        );
    }
    let waiting = config.changes(wanted);
    if !waiting.is_empty() {
        let keys: Vec<&str> = waiting.iter().map(|change| &*change.key).collect();
        tracing::warn!(
            event = "restart_needed",
            need_restart = keys.join(", "),
            "these keys changed and hold from the next start on"
        );
    }
    tracing::info!(
        target: "audit",
        audit = true,
        event = "reloaded",
        outcome = "success",
        caller = CALLER,
        pools_added = pools.added.join(", "),
        pools_removed = pools.removed.join(", "),
        pools_replaced = pools.replaced.join(", "),
        human = human(&Fact::Reloaded),
    );
}
