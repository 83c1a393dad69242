use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    EdgeLimits, ServerTls,
    edge::{Edge, Peer},
    prefixed::Prefixed,
    write_limit::WriteLimit,
};

/// How long what was sent may stay unacknowledged before the peer counts as gone (ORCH-071).
#[cfg(target_os = "linux")]
const PEER_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence after which a peer is asked whether it is still there; the answer has as long again.
const PEER_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// What a client of HTTP/2 with prior knowledge says first (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Size of the first read, in bytes.
const FIRST_READ_BYTES: usize = 1024;

/// The library's own caps on a head lie this much above ours, so that ours are answered with an error that
/// has a shape.
const LIBRARY_HEADROOM: usize = 4;

/// Least buffer that the HTTP library takes, in bytes.
const LIBRARY_BUFFER_BYTES_MIN: usize = 64 * 1024;

/// Header fields that the HTTP library takes without an allocation for each request.
const LIBRARY_HEADERS: usize = 100;

/// Serves one connection until it ends; after `stop`, until its open requests have ended.
pub(crate) async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<ServerTls>,
    edge: Arc<Edge>,
    stop: CancellationToken,
) -> io::Result<()> {
    prepare(&stream)?;
    let limits = edge.limits();
    let stream = WriteLimit::new(stream, Duration::from_millis(limits.write_timeout_ms));
    let Some(tls) = tls else {
        return serve_stream(stream, Peer { addr: peer, is_tls: false }, edge, stop).await;
    };
    let timeout = Duration::from_millis(limits.head_read_timeout_ms);
    let handshake = tokio::time::timeout(timeout, tls.accept(stream));
    let Some(stream) = stop.run_until_cancelled(handshake).await else { return Ok(()) };
    // Boxed, so that connections without TLS do not pay for the room.
    let stream = Box::new(stream??);
    serve_stream(stream, Peer { addr: peer, is_tls: true }, edge, stop).await
}

async fn serve_stream<S>(
    mut stream: S,
    peer: Peer,
    edge: Arc<Edge>,
    stop: CancellationToken,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let timeout = Duration::from_millis(edge.limits().head_read_timeout_ms);
    let first = tokio::time::timeout(timeout, read_first(&mut stream));
    let Some(first) = stop.run_until_cancelled(first).await else { return Ok(()) };
    let (prefix, is_http2) = first??;
    if prefix.is_empty() {
        return Ok(());
    }
    let limits = edge.limits();
    let io = TokioIo::new(Prefixed::new(prefix, stream));
    let service = service_fn(move |request: http::Request<Incoming>| {
        let edge = Arc::clone(&edge);
        async move { Ok::<_, Infallible>(edge.answer(request, peer).await) }
    });
    let result = if is_http2 {
        let mut connection = pin!(http2_builder(&limits).serve_connection(io, service));
        tokio::select! {
            biased;
            result = &mut connection => result,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let mut connection = pin!(http1_builder(&limits).serve_connection(io, service));
        tokio::select! {
            biased;
            result = &mut connection => result,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    result.map_err(io::Error::other)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(PEER_CHECK_INTERVAL)
        .with_interval(PEER_CHECK_INTERVAL / 2)
        .with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
    Ok(())
}

/// Reads until it is clear which protocol is spoken; nothing, where the peer says nothing and leaves.
async fn read_first<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(Bytes, bool)> {
    let mut first = BytesMut::with_capacity(FIRST_READ_BYTES);
    loop {
        if stream.read_buf(&mut first).await? == 0 {
            return Ok((first.freeze(), false));
        }
        let compared = first.len().min(HTTP2_PREFACE.len());
        if first[..compared] != HTTP2_PREFACE[..compared] {
            return Ok((first.freeze(), false));
        }
        if compared == HTTP2_PREFACE.len() {
            return Ok((first.freeze(), true));
        }
    }
}

fn http1_builder(limits: &EdgeLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_read_timeout_ms))
        // Pieces of streams are small: copying them behind each other costs less than lists of them do.
        .writev(false)
        .max_buf_size(LIBRARY_BUFFER_BYTES_MIN.max(limits.header_max_bytes * LIBRARY_HEADROOM));
    if limits.headers_max >= LIBRARY_HEADERS {
        builder.max_headers(limits.headers_max * LIBRARY_HEADROOM);
    }
    builder
}

fn http2_builder(limits: &EdgeLimits) -> http2::Builder<StreamTasks> {
    let head_bytes = limits.header_max_bytes * LIBRARY_HEADROOM;
    let mut builder = http2::Builder::new(StreamTasks::default());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PEER_CHECK_INTERVAL)
        .keep_alive_timeout(PEER_CHECK_INTERVAL);
    builder
}

/// Owns the tasks of one HTTP/2 connection, a task for each request: they end with it.
#[derive(Clone, Default)]
struct StreamTasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for StreamTasks {
    fn execute(&self, future: F) {
        let mut tasks = self.0.lock().expect("nothing panics while it holds the tasks");
        while tasks.try_join_next().is_some() {} // a panic was reported where it happened
        tasks.spawn(future);
    }
}
