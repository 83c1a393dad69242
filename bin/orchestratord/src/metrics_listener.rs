use std::net::SocketAddr;

use anyhow::Context as _;
use http_edge::{Access, EdgeLimits, EdgeOptions, Gate};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{routes, state::AppState};

/// Most connections of scrapers; further ones are closed at once.
const CONNECTIONS_MAX: usize = 32;

/// A listener that has nothing but the metrics, for scrapers on this machine that have no token (ORCH-232).
pub(crate) struct MetricsListener(TcpListener);

impl MetricsListener {
    /// Opens it where one is configured.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) async fn bind(addr: Option<SocketAddr>) -> anyhow::Result<Option<Self>> {
        let Some(addr) = addr else { return Ok(None) };
        let listener = TcpListener::bind(addr).await;
        let listener = listener
            .with_context(|| format!("cannot listen on {addr}; set server.metrics_addr"))?;
        let addr = listener.local_addr()?;
        tracing::info!(event = "metrics_listening", %addr);
        Ok(Some(Self(listener)))
    }

    /// Answers until `stop`. The rules of a listener without tokens hold: the host must be a loopback one.
    pub(crate) async fn serve(self, state: AppState, limits: EdgeLimits, stop: CancellationToken) {
        let limits = EdgeLimits { connections_max: CONNECTIONS_MAX, ..limits };
        let edge = EdgeOptions { limits, ..EdgeOptions::new(Gate::new(Access::Local)) };
        http_edge::serve(self.0, routes::metrics_alone(state), edge, stop).await;
    }
}
