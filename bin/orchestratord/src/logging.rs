use std::{
    io::Write as _,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use config_schema::{Log, LogFormat, LogLevel};
use narration::{LineForm, LogLines, Masker};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Registry, filter::Targets, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

/// Our own crates; of libraries below them an operator hears from warnings on.
const OURS: [&str; 14] = [
    "orchestratord",
    "orchestrator",
    "http_edge",
    "engine_candle",
    "engine_openai",
    "store_sqlite",
    "event_log",
    "model_provisioner",
    "fetch",
    "handoff",
    "catalog_core",
    "operations",
    "critics",
    "spans_otlp",
];

/// The target of audit events, which are not told by level.
const AUDIT: &str = "audit";

static MASKER: LazyLock<Masker> = LazyLock::new(Masker::default);

/// What takes secrets out of everything that this process prints. Whoever reads a secret registers it here.
pub(crate) fn masker() -> &'static Masker {
    &MASKER
}

/// The log of this process.
pub(crate) struct Logging {
    filter: reload::Handle<Targets, Registry>,
}

impl Logging {
    /// Lets another level hold from now on, and whether audit events are told.
    ///
    /// # Errors
    /// The log is gone.
    pub(crate) fn apply(&self, log: &Log) -> anyhow::Result<()> {
        self.filter.reload(targets(log)).context("cannot change the level of the log")
    }
}

/// Sends log lines to standard error, as JSON or for people.
pub(crate) fn start(log: &Log) -> Logging {
    let form = match log.format {
        LogFormat::Json => LineForm::Json,
        LogFormat::Human => LineForm::Readable,
    };
    let (layer, filter) = reload::Layer::new(targets(log));
    // There is nowhere to tell that standard error is gone.
    let write = |line: &[u8]| drop(std::io::stderr().write_all(line));
    let lines = LogLines::new(form, masker().clone(), now_ms, write);
    tracing_subscriber::registry().with(layer).with(lines).init();
    Logging { filter }
}

fn targets(log: &Log) -> Targets {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = level.min(LevelFilter::WARN);
    // Who comes in is told at whatever level, unless that is switched off by itself.
    let audit = if log.audit { LevelFilter::TRACE } else { LevelFilter::OFF };
    let ours = OURS.map(|name| (name, level));
    Targets::new().with_default(others).with_targets(ours).with_target(AUDIT, audit)
}

#[expect(clippy::disallowed_methods, reason = "lines tell the time at which they are written")]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
