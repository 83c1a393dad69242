use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::{
    Auth, CandlePool, Catalog, Cors, Egress, Handoff, Log, Model, OpenAiPool, Operations,
    Placement, Pool, Queue, RateLimits, Retention, Scheduling, Server, Store, Stream, Telemetry,
    Tls,
    model::{self, STARTER},
    pool::{self, EMBEDDED},
    reader::Reader,
    setting::{Check, Setting, Wrong, text_of},
    tree::Value,
};

/// Everything that can be set. The default is what holds when nothing is: one process on loopback that
/// serves the starter model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default, deny_unknown_fields))]
pub struct Config {
    /// What kind of installation this is. Changes with a restart.
    pub profile: Profile,
    /// Folder of everything that the daemon keeps; `orchestratord` under the user's state folder when left
    /// out. Changes with a restart.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub data_dir: Option<Utf8PathBuf>,
    pub server: Server,
    /// Who may use the daemon.
    pub auth: Auth,
    pub tls: Tls,
    pub cors: Cors,
    pub limits: RateLimits,
    pub queue: Queue,
    pub scheduling: Scheduling,
    pub placement: Placement,
    pub stream: Stream,
    pub store: Store,
    pub retention: Retention,
    pub egress: Egress,
    pub operations: Operations,
    pub handoff: Handoff,
    pub catalog: Catalog,
    /// Further names of models, and which model each means: an id or alias of `[models]`, or a name or id
    /// that the catalog knows. They are given anew at each start and SIGHUP, wherever they were moved meanwhile.
    pub aliases: BTreeMap<String, String>,
    /// Models by their ids, which are names that requests may use. When the section is left out, and a pool
    /// with engine `candle` is there to run it, this is `starter`, a small model that is fetched on first
    /// use.
    pub models: BTreeMap<String, Model>,
    /// Pools by their ids. When the section is left out this is `embedded`, with engine `candle`. SIGHUP starts
    /// what is new, takes away what is gone and replaces what changed; the others go on untouched.
    pub pools: BTreeMap<String, Pool>,
    pub log: Log,
    pub telemetry: Telemetry,
}

/// Kinds of installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// One machine, one process.
    #[default]
    Home,
}

impl Profile {
    /// The name that chooses this profile.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
        }
    }
}

impl Setting for Profile {
    fn read(value: &Value, _: Check) -> Result<Self, Vec<Wrong>> {
        match text_of(value) {
            Some("home") => Ok(Self::Home),
            Some("cloud") => {
                Err(Wrong::new("the profile \"cloud\" is not served by this build; use \"home\""))
            }
            _ => Err(Wrong::new("allowed is \"home\"")),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::Home,
            data_dir: None,
            server: Server::default(),
            auth: Auth::default(),
            tls: Tls::default(),
            cors: Cors::default(),
            limits: RateLimits::default(),
            queue: Queue::default(),
            scheduling: Scheduling::default(),
            placement: Placement::default(),
            stream: Stream::default(),
            store: Store::default(),
            retention: Retention::default(),
            egress: Egress::default(),
            operations: Operations::default(),
            handoff: Handoff::default(),
            aliases: BTreeMap::new(),
            catalog: Catalog { default_model: Some(STARTER.to_owned()), ..Catalog::default() },
            models: default_models(),
            pools: default_pools(),
            log: Log::default(),
            telemetry: Telemetry::default(),
        }
    }
}

fn default_models() -> BTreeMap<String, Model> {
    BTreeMap::from([(STARTER.to_owned(), Model::starter())])
}

fn default_pools() -> BTreeMap<String, Pool> {
    BTreeMap::from([(EMBEDDED.to_owned(), Pool::Candle(CandlePool::default()))])
}

impl Config {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let profile = reader.get("profile", Check::Any).unwrap_or_default();
        let data_dir = reader.get("data_dir", Check::Any);
        let server = reader.section("server", |section| {
            let server = Server::read(section);
            if server.metrics_addr.is_some_and(|addr| !addr.ip().is_loopback()) {
                let message = "asks for no token, so it must be on 127.0.0.1 or [::1]";
                section.wrong("metrics_addr", message.to_owned());
            }
            server
        });
        let auth = reader.section("auth", Auth::read);
        let tls = reader.section("tls", |section| {
            let tls = Tls::read(section);
            if tls.cert.is_some() != tls.key.is_some() {
                let missing = if tls.cert.is_none() { "cert" } else { "key" };
                section.wrong(missing, "is missing; cert and key go together".to_owned());
            } else if tls.client_ca.is_some() && tls.cert.is_none() {
                section.wrong("client_ca", "means nothing without cert and key".to_owned());
            }
            tls
        });
        let cors = reader.section("cors", Cors::read);
        let limits = reader.section("limits", RateLimits::read);
        let queue = reader.section("queue", |section| {
            let queue = Queue::read(section);
            if queue.model_capacity > queue.total_capacity {
                let total = queue.total_capacity;
                section.contradiction("model_capacity", &format!("total_capacity ({total})"));
            }
            queue
        });
        let scheduling = reader.section("scheduling", Scheduling::read);
        let placement = reader.section("placement", Placement::read);
        let stream = reader.section("stream", |section| {
            let stream = Stream::read(section);
            if stream.subscribers_per_task > stream.subscribers_max {
                let total = stream.subscribers_max;
                section
                    .contradiction("subscribers_per_task", &format!("subscribers_max ({total})"));
            }
            stream
        });
        let store = reader.section("store", Store::read);
        let retention = reader.section("retention", |section| {
            let retention = Retention::read(section);
            let Retention { event_retention_ms, task_retention_ms, bytes_max } = retention;
            if event_retention_ms >= task_retention_ms {
                let message =
                    format!("must be longer than event_retention_ms ({event_retention_ms})");
                section.wrong("task_retention_ms", message);
            }
            let bytes_min = 4 * store.segment_bytes;
            if bytes_max < bytes_min {
                let message = format!("is below four times store.segment_bytes ({bytes_min})");
                section.wrong("bytes_max", message);
            }
            retention
        });
        let egress = reader.section("egress", Egress::read);
        let operations = reader.section("operations", Operations::read);
        let handoff = reader.section("handoff", Handoff::read);
        let aliases = reader.texts("aliases", model::name);
        let pools =
            reader.sections("pools", pool::ID_CHARS_MAX, Pool::read).unwrap_or_else(default_pools);
        let has_candle = pools.values().any(|pool| matches!(pool, Pool::Candle(_)));
        let models = reader.sections("models", model::ID_CHARS_MAX, Model::read);
        let models =
            models.unwrap_or_else(|| if has_candle { default_models() } else { BTreeMap::new() });
        let catalog = reader.section("catalog", |section| {
            let catalog = Catalog::read(section);
            with_default_model(catalog, &models, &pools, section)
        });
        let log = reader.section("log", Log::read);
        let telemetry = reader.section("telemetry", |section| {
            let telemetry = Telemetry::read(section);
            if telemetry.otlp_headers_file.is_some()
                && let Some(why) = telemetry.unfit_headers()
            {
                section.wrong("otlp_headers_file", why.to_owned());
            }
            telemetry
        });
        check_names(&models, &pools, reader);
        check_shared_models(&pools, reader);
        check_aliases(&aliases, &models, reader);
        Self {
            profile,
            data_dir,
            server,
            auth,
            tls,
            cors,
            limits,
            queue,
            scheduling,
            placement,
            stream,
            store,
            retention,
            egress,
            operations,
            handoff,
            catalog,
            aliases,
            models,
            pools,
            log,
            telemetry,
        }
    }
}

/// The only model is the default one; which names an attached engine has cannot be known here.
fn with_default_model(
    mut catalog: Catalog,
    models: &BTreeMap<String, Model>,
    pools: &BTreeMap<String, Pool>,
    reader: &mut Reader<'_>,
) -> Catalog {
    let is_known =
        |name: &String| models.iter().any(|(id, model)| id == name || model.aliases.contains(name));
    let has_remote = pools.values().any(|pool| matches!(pool, Pool::OpenAi(_)));
    match &catalog.default_model {
        Some(name) if !has_remote && !is_known(name) => {
            let ids: Vec<&str> = models.keys().map(String::as_str).collect();
            let message = format!("no such model is configured; there are {}", ids.join(", "));
            reader.wrong("default_model", message);
        }
        Some(_) => {}
        None => {
            let mut ids = models.keys();
            if let (Some(id), None) = (ids.next(), ids.next()) {
                catalog.default_model = Some(id.clone());
            }
        }
    }
    catalog
}

/// A name that a model has already cannot mean another one.
fn check_aliases(
    aliases: &BTreeMap<String, String>,
    models: &BTreeMap<String, Model>,
    reader: &mut Reader<'_>,
) {
    for alias in aliases.keys() {
        let owner = models.iter().find(|(id, model)| *id == alias || model.aliases.contains(alias));
        if let Some((owner, _)) = owner {
            let message = format!("the name {alias:?} is already that of the model {owner}");
            reader.wrong_at(&["aliases", alias], message);
        }
    }
}

/// Models are shared with an attached pool that has its own.
fn check_shared_models(pools: &BTreeMap<String, Pool>, reader: &mut Reader<'_>) {
    for (id, pool) in pools {
        let Pool::OpenAi(OpenAiPool { same_models_as: Some(other), .. }) = pool else { continue };
        let has_own =
            |pool: &Pool| matches!(pool, Pool::OpenAi(OpenAiPool { same_models_as: None, .. }));
        if other == id || !pools.get(other).is_some_and(has_own) {
            let message = format!(
                "allowed is another pool with engine \"openai\" that has models of its own, not {other:?}"
            );
            reader.wrong_at(&["pools", id, "same_models_as"], message);
        }
    }
}

fn check_names(
    models: &BTreeMap<String, Model>,
    pools: &BTreeMap<String, Pool>,
    reader: &mut Reader<'_>,
) {
    for (id, alias, owner) in model::taken_twice(models) {
        let message = format!("the name {alias:?} is already that of the model {owner}");
        reader.wrong_at(&["models", &id, "aliases"], message);
    }
    for (id, pool) in pools {
        let Pool::Candle(CandlePool { models: Some(names), .. }) = pool else { continue };
        for name in names.iter().filter(|name| !models.contains_key(*name)) {
            let message = format!("the model {name:?} has no section [models.{name}]");
            reader.wrong_at(&["pools", id, "models"], message);
        }
    }
}
