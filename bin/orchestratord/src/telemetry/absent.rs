use std::sync::Arc;

use config_schema::Telemetry as Settings;
use orchestrator::SpanSink;

use super::SpanTotals;

/// Nothing: this build exports no spans.
pub(crate) struct Telemetry;

/// Nothing that has to be ended.
pub(crate) struct Exporting;

/// # Errors
/// An export is configured, which this build cannot do; with the key at fault.
pub(crate) fn check(settings: &Settings) -> Result<(), (&'static str, anyhow::Error)> {
    if settings.otlp_endpoint.is_none() {
        return Ok(());
    }
    let error = anyhow::anyhow!(
        "this build exports no spans; leave it out, or build with `--features otlp`"
    );
    Err(("otlp_endpoint", error))
}

impl Telemetry {
    /// # Errors
    /// As [`check`].
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<(Self, Exporting)> {
        check(settings).map_err(|(key, error)| error.context(format!("telemetry.{key}")))?;
        Ok((Self, Exporting))
    }

    pub(crate) fn sink(&self) -> Arc<dyn SpanSink> {
        Arc::new(())
    }

    pub(crate) fn is_exporting(&self) -> bool {
        false
    }

    pub(crate) fn totals(&self) -> SpanTotals {
        SpanTotals::default()
    }
}

impl Exporting {
    pub(crate) async fn finish(self) {
        std::future::ready(()).await;
    }
}
