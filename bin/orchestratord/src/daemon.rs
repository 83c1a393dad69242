use std::{num::NonZeroU32, sync::Arc, time::Duration};

use adapter_host::AdapterHost;
use anyhow::{Context as _, bail};
use catalog_core::{Catalog, CatalogLimits};
use config_schema::{Config, TokenSync, Trust};
use event_log::{LogOptions, SegmentLog};
use http_edge::{EdgeControl, EdgeCounters, EdgeLimits, EdgeOptions};
use model_provisioner::WallClock;
use narration::{Fact, human};
use operations::{Operations, OperationsOptions};
use orchestrator::{Clock as _, Options, Orchestrator, Parts, Retention};
use orchestrator_core::{Limits, WaitObjective, WhenFull};
use orchestrator_metrics::DaemonMetrics;
use store_sqlite::{DataDir, SqliteOptions, SqliteStore};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    abilities::Abilities,
    announce::announce,
    boot_clock::BootClock,
    catalog_keeper,
    catalog_parts::CatalogParts,
    catalog_work::{ModelDelete, ModelFetch, ModelVerify},
    cli::Cli,
    current::Current,
    descriptors,
    embedded_pool::Workshop,
    entrance::Entrance,
    environment::Environment,
    event_stream::Pace,
    handoff_pools::{self, HandoffPools, Terms},
    hangup::Hangup,
    logging::Logging,
    metrics_listener::MetricsListener,
    models::Models,
    placing,
    pools::{Pools, Setup},
    provisioning,
    reload::Reload,
    routes,
    scrape::Scrape,
    service_manager::ServiceManager,
    signals::Signals,
    state::AppState,
    telemetry::Telemetry,
};

/// How long requests that are open after all tasks were drained may take, in milliseconds.
const EDGE_DRAIN_MS: u64 = 2000;

/// How often ended tasks are looked at while events are kept, but neither more nor less often than after so
/// many milliseconds.
const LOOKS_PER_RETENTION: u64 = 8;
const LOOK_EVERY_MS: (u64, u64) = (100, 60_000);

/// Runs the daemon until it is told to end.
pub(crate) async fn run(
    cli: &Cli,
    environment: &Environment,
    config: Config,
    logging: &Logging,
    mut hangup: Hangup,
) -> anyhow::Result<()> {
    let manager = Arc::new(ServiceManager::find(environment)?);
    let entrance = Entrance::open(&config)?;
    let mut signals = Signals::new()?;
    descriptors::raise(config.server.connections_max);
    let data_dir = environment.data_dir(&config)?;
    let _lock = DataDir::lock(&data_dir).context("cannot use the data directory")?;
    let listener = TcpListener::bind(config.server.addr)
        .await
        .with_context(|| format!("cannot listen on {}; set server.addr", config.server.addr))?;
    let metrics_listener = MetricsListener::bind(config.server.metrics_addr).await?;
    let addr = listener.local_addr()?;
    let url = format!("{}://{addr}", entrance.scheme());

    let clock = Arc::new(BootClock::new());
    let wall = Arc::clone(&clock);
    let now_ms: WallClock = Arc::new(move || wall.wall_ms());
    let store = Arc::new(
        SqliteStore::open(&data_dir.join("store.sqlite"), SqliteOptions::default())
            .context("cannot open the store")?,
    );
    let log_options = LogOptions {
        segment_bytes: config.store.segment_bytes,
        accept_loss: cli.accept_loss,
        ..LogOptions::default()
    };
    let events = Arc::new(
        SegmentLog::open(&data_dir.join("events"), log_options)
            .context("cannot open the event log")?,
    );
    let catalog = Catalog::open(Arc::clone(&store) as _, CatalogLimits::default())
        .await
        .context("cannot read the catalog")?;
    let catalog = Arc::new(catalog);
    let models = Arc::new(Models::new(Arc::clone(&catalog), &config, Arc::clone(&now_ms)));
    models.apply(&config).await.context("cannot give models their names")?;
    let host = AdapterHost::default();
    let metrics = Arc::new(DaemonMetrics::default());
    let (telemetry, exporting) = Telemetry::open(&config.telemetry)?;
    let telemetry = Arc::new(telemetry);
    let orchestrator = Orchestrator::start(Parts {
        options: options(&config),
        clock,
        journal: Arc::clone(&store) as _,
        events: Arc::clone(&events) as _,
        models: Arc::clone(&models) as _,
        meter: Arc::clone(&models) as _,
        host: host.clone(),
        observer: Arc::clone(&metrics) as _,
        spans: telemetry.sink(),
    })
    .await
    .context("cannot take over the last run")?;
    let orchestrator = Arc::new(orchestrator);

    let provisioner = provisioning::provisioner(
        environment,
        &config,
        &data_dir,
        Arc::clone(&catalog),
        Arc::clone(&now_ms),
    )?;
    let parts = Arc::new(CatalogParts {
        catalog: Arc::clone(&catalog),
        provisioner: provisioner.clone(),
        models: Arc::clone(&models),
        orchestrator: Arc::clone(&orchestrator),
        metrics: Arc::clone(&metrics),
        now_ms: Arc::clone(&now_ms),
        retired: Notify::new(),
    });
    let workshop = Arc::new(Workshop {
        orchestrator: Arc::clone(&orchestrator),
        host,
        models: Arc::clone(&models),
        catalog,
        metrics: Arc::clone(&metrics),
        provisioner: provisioner.clone(),
        now_ms,
    });
    let mut pools = Pools::new(workshop, url.clone());
    pools.become_as(Setup::all(&config)?, Duration::ZERO);
    let mut background = JoinSet::new(); // dropping it ends what is done beside
    let (terms, of_terms) = watch::channel(Terms::of(&config));
    let handed = HandoffPools::new(
        Arc::clone(&orchestrator),
        Arc::clone(&models),
        Arc::clone(&metrics),
        config.scheduling.idle_ms,
        of_terms,
    );
    background.spawn(handed.follow(handoff_pools::directory(&config, &data_dir)?));
    // Only now, as a deletion that goes on has to see which pools use the model.
    let operations = Arc::new(
        start_operations(&config, store, &parts).await.context("cannot take over operations")?,
    );
    background.spawn(catalog_keeper::keep(Arc::clone(&parts), config.catalog.recheck_ms));

    let stop = CancellationToken::new();
    let counters = Arc::new(EdgeCounters::default());
    let control = EdgeControl::default();
    let pace = Current::new(Pace::of(&config));
    let abilities = Current::new(Abilities::of(&config));
    let state = AppState {
        orchestrator: Arc::clone(&orchestrator),
        catalog: parts,
        operations,
        pace: pace.clone(),
        scrape: Arc::new(Scrape {
            metrics,
            edge: Arc::clone(&counters),
            events,
            store: data_dir.join("store.sqlite"),
            telemetry: Arc::clone(&telemetry),
        }),
        profile: config.profile.name(),
        abilities: abilities.clone(),
        admissions: TaskTracker::new(),
    };
    let edge = EdgeOptions {
        limits: limits(&config),
        renderer: Some(Arc::new(routes::render_error)),
        allowed_origins: config.cors.allowed_origins.clone(),
        tls: entrance.tls.clone(),
        counters,
        control: control.clone(),
        records_traces: telemetry.is_exporting(),
        ..EdgeOptions::new(entrance.gate.clone())
    };
    announce(&format!("orchestratord listens on {url}"));
    tracing::info!(
        event = "listening",
        addr = %addr,
        data_dir = %data_dir,
        human = human(&Fact::Listening { addr: &addr.to_string() }),
    );
    manager.ready();
    let watched = Arc::clone(&manager);
    background.spawn(async move { watched.keep_alive().await });
    if let Some(listener) = metrics_listener {
        background.spawn(listener.serve(state.clone(), limits(&config), stop.clone()));
    }
    let serving = http_edge::serve(listener, routes::router(state), edge, stop.clone());
    let mut serving = std::pin::pin!(serving);
    let failed = orchestrator.failed();
    let mut reload = Reload {
        cli,
        environment,
        logging,
        entrance: &entrance,
        manager: &manager,
        orchestrator: Arc::clone(&orchestrator),
        models,
        provisioner,
        edge: control,
        pace,
        abilities,
        pools,
        handoff: terms,
        config,
    };
    tokio::select! {
        _drained = &mut serving => {}
        never = hangup.answer(&mut reload) => match never {},
        () = signals.next() => {
            reload.pools.stop_loading();
            let deadline_ms = reload.config.server.drain_deadline_ms;
            let human = human(&Fact::Draining { deadline_ms });
            tracing::info!(event = "stopping", deadline_ms, human);
            let drain = Duration::from_millis(deadline_ms);
            manager.stopping(drain);
            let ending = async {
                orchestrator.shut_down(drain).await;
                stop.cancel();
            };
            tokio::select! {
                _both = async { tokio::join!(ending, &mut serving) } => {}
                () = signals.next() => bail!("told to end a second time: what ran goes on at the next start"),
            }
        }
        () = failed.cancelled() => {}
    }
    exporting.finish().await;
    if let Some(failure) = orchestrator.failure() {
        bail!("the store failed: {failure}");
    }
    Ok(())
}

async fn start_operations(
    config: &Config,
    store: Arc<SqliteStore>,
    parts: &Arc<CatalogParts>,
) -> Result<Operations, operations::StoreError> {
    let kept = &config.operations;
    let limits = operations::Limits {
        running_max: kept.running_max,
        ended_max: kept.ended_max,
        keep_ms: kept.keep_ms,
    };
    Operations::start(operations::Parts {
        options: OperationsOptions { limits, ..OperationsOptions::default() },
        store,
        kinds: vec![
            Arc::new(ModelFetch(Arc::clone(parts))),
            Arc::new(ModelVerify(Arc::clone(parts))),
            Arc::new(ModelDelete(Arc::clone(parts))),
        ],
        now_ms: Arc::clone(&parts.now_ms),
    })
    .await
}

/// Limits and times of the orchestrator.
pub(crate) fn options(config: &Config) -> Options {
    let (queue, scheduling, stream) = (&config.queue, &config.scheduling, &config.stream);
    Options {
        queue: Limits {
            model_capacity: queue.model_capacity.into(),
            total_capacity: queue.total_capacity.into(),
            batch_share_percent: u8::try_from(queue.batch_share).unwrap_or(100),
            bytes_max: queue.bytes_max,
            interactive_weight: NonZeroU32::new(scheduling.interactive_weight)
                .unwrap_or(NonZeroU32::MIN),
            batch_max_wait_ms: scheduling.batch_max_wait_ms,
            objective: (scheduling.wait_p95_ms > 0).then_some(WaitObjective {
                wait_p95_ms: scheduling.wait_p95_ms,
                window_ms: scheduling.wait_window_ms,
            }),
            when_full: match queue.when_full {
                config_schema::WhenFull::Reject => WhenFull::Reject,
                config_schema::WhenFull::DropLru => WhenFull::DropLru,
            },
            ..Limits::default()
        },
        strategy: placing::global(&config.placement),
        allow_pins: config.placement.allow_pins,
        verified_only: config.catalog.trust == Trust::Strict,
        queue_max_ms: queue.queue_max_ms,
        reject_backoff_ms: queue.reject_backoff_ms,
        idle_ms: scheduling.idle_ms,
        wall_ms: scheduling.wall_ms,
        cancel_grace_ms: scheduling.cancel_grace_ms,
        max_attempts: scheduling.max_attempts,
        poison_limit: scheduling.poison_limit,
        ring_bytes: stream.ring_bytes,
        sync_before_show: config.store.token_sync == TokenSync::Disk,
        subscribers_per_task: stream.subscribers_per_task,
        subscribers_max: stream.subscribers_max,
        reattach_ms: stream.reattach_ms,
        coalesce_ms: stream.coalesce_ms,
        retention: retention(config),
        rate_limits: rate_limits(&config.limits),
    }
}

fn retention(config: &Config) -> Retention {
    let retention = &config.retention;
    Retention {
        event_retention_ms: retention.event_retention_ms,
        task_retention_ms: retention.task_retention_ms,
        bytes_max: retention.bytes_max,
        look_every_ms: (retention.event_retention_ms / LOOKS_PER_RETENTION)
            .clamp(LOOK_EVERY_MS.0, LOOK_EVERY_MS.1),
    }
}

fn rate_limits(limits: &config_schema::RateLimits) -> orchestrator::RateLimits {
    let bucket = |per_second: u32, burst: u32| {
        let (per_second, burst) = (NonZeroU32::new(per_second)?, NonZeroU32::new(burst)?);
        Some(orchestrator::Bucket { per_second, burst })
    };
    orchestrator::RateLimits {
        requests: bucket(limits.requests_per_second, limits.requests_burst),
        prompt_tokens: bucket(limits.prompt_tokens_per_second, limits.prompt_tokens_burst),
    }
}

/// What the server bears.
pub(crate) fn limits(config: &Config) -> EdgeLimits {
    let server = &config.server;
    EdgeLimits {
        body_max_bytes: server.body_max_bytes,
        header_max_bytes: server.header_max_bytes,
        headers_max: server.headers_max,
        head_read_timeout_ms: server.head_read_timeout_ms,
        body_read_timeout_ms: server.body_read_timeout_ms,
        write_timeout_ms: config.stream.write_timeout_ms,
        connections_max: server.connections_max,
        http2_streams_max: server.http2_streams_max,
        drain_deadline_ms: EDGE_DRAIN_MS,
    }
}
