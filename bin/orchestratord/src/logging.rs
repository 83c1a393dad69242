use config_schema::{Log, LogFormat, LogLevel};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Sends log lines to standard error, as JSON or for people.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // Libraries below ours are heard from warnings on: their details are of no use to an operator.
    let ours = ["orchestratord", "orchestrator", "http_edge", "engine_candle", "engine_openai"];
    let mut directives = vec![if level == "error" { "error" } else { "warn" }.to_owned()];
    directives.extend(ours.map(|name| format!("{name}={level}")));
    directives.extend(
        ["store_sqlite", "event_log", "model_provisioner", "fetch", "catalog_core"]
            .map(|name| format!("{name}={level}")),
    );
    let registry = tracing_subscriber::registry().with(EnvFilter::new(directives.join(",")));
    match log.format {
        LogFormat::Json => {
            let lines = fmt::layer().json().flatten_event(true).with_current_span(false);
            registry.with(lines.with_span_list(false).with_writer(std::io::stderr)).init();
        }
        LogFormat::Human => {
            registry.with(fmt::layer().with_target(false).with_writer(std::io::stderr)).init();
        }
    }
}
