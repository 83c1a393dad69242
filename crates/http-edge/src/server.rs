use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{EdgeOptions, connection::serve_connection, edge::Edge};

/// Pause after the system could not give a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections with open requests that were cut off at the deadline.
    pub cut_off: usize,
}

/// Serves `router` on `listener` until `stop`; then takes no more connections, lets open requests end until
/// the deadline, and cuts off the rest. Dropping the future cuts off everything at once. Runs on any tokio
/// runtime with I/O and time, a current-thread one included.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: EdgeOptions,
    stop: CancellationToken,
) -> Drained {
    let counters = Arc::clone(&options.counters);
    let tls = options.tls.clone();
    let edge = Arc::new(Edge::new(router, options));
    // One task for each connection, up to `connections_max`; beyond them, connections are closed.
    let mut connections: JoinSet<io::Result<()>> = JoinSet::new();
    loop {
        tokio::select! {
            (stream, peer) = accept(&listener) => {
                while let Some(ended) = connections.try_join_next() {
                    log(ended);
                }
                if connections.len() >= edge.limits().connections_max {
                    counters.count_refused();
                    continue;
                }
                let (edge, open) = (Arc::clone(&edge), counters.open());
                let (stop, tls) = (stop.clone(), tls.clone());
                connections.spawn(async move {
                    let _held = open;
                    serve_connection(stream, peer, tls, edge, stop).await
                });
            }
            Some(ended) = connections.join_next() => log(ended),
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    let drain = Duration::from_millis(edge.limits().drain_deadline_ms);
    let drained = tokio::time::timeout(drain, async {
        while let Some(ended) = connections.join_next().await {
            log(ended);
        }
    });
    let cut_off = if drained.await.is_ok() { 0 } else { connections.len() };
    connections.shutdown().await;
    Drained { cut_off }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn log(ended: Result<io::Result<()>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(error) => tracing::error!(%error, "a connection's task failed"),
    }
}
