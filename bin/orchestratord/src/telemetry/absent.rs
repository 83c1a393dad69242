use std::sync::Arc;

use config_schema::Telemetry as Settings;
use orchestrator::SpanSink;

use super::SpanTotals;

/// Nothing: this build exports no spans.
pub(crate) struct Telemetry;

/// Nothing that has to be ended.
pub(crate) struct Exporting;

/// # Errors
/// An export is configured, which this build cannot do.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    anyhow::ensure!(
        settings.otlp_endpoint.is_none(),
        "this build exports no spans; leave it out, or build with `--features otlp`"
    );
    Ok(())
}

impl Telemetry {
    /// # Errors
    /// As [`check`].
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<(Self, Exporting)> {
        check(settings).map_err(|error| error.context("telemetry.otlp_endpoint"))?;
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
