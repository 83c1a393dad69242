use std::{
    future::poll_fn,
    io,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::crypto::CryptoProvider;
use tokio::time::Instant;
use tower::Service as _;
use url::Url;

use crate::{
    answer_head::{AnswerHead, NotHttp},
    body_framing::BodyFraming,
    socket::Socket,
};

/// How long an idle connection is kept. Servers on uvicorn (vLLM, SGLang) close theirs after 5 s; one
/// that closes under a request would fail it.
const IDLE: Duration = Duration::from_secs(4);

/// Room for what is read at once, in bytes: some eighty tokens of a busy engine.
const READ_BYTES: usize = 16 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connections to one server. Each is read by whoever waits for its answer, in their own task: what the
/// server sent is read, taken apart and passed on without a wake-up of another task, and all that is there
/// in one go.
#[derive(Debug)]
pub(crate) struct Connections {
    url: Url,
    connector: Connector,
    connect_timeout: Duration,
    /// Newest last. At most as many as were in use at once.
    idle: Mutex<Vec<(Link, Instant)>>,
    /// What all connections read into: room of its own for each would rarely be near the core when its next
    /// token comes. Held for single reads only.
    room: Mutex<Box<[u8]>>,
}

#[derive(Debug, Clone)]
enum Connector {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

/// One connection, and what was read of it and is not taken yet, mostly nothing.
#[derive(Debug)]
struct Link {
    socket: Socket,
    left: BytesMut,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("no connection")]
    Connect(#[source] BoxError),
    #[error("the connection ended before the answer")]
    Broken(#[source] io::Error),
}

enum SendError {
    /// Nothing of the request has left.
    Unsent(io::Error),
    Broken(io::Error),
}

impl Connections {
    /// Connections to the host of `url`; none is opened yet.
    ///
    /// # Errors
    /// The system's roots of trust cannot be read, where `url` asks for TLS.
    ///
    /// # Panics
    /// For TLS, when the process has installed no rustls crypto provider.
    pub(crate) fn new(url: Url, connect_timeout: Duration) -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let connector = if url.scheme() == "https" {
            tcp.enforce_http(false);
            let provider =
                CryptoProvider::get_default().expect("the process has a crypto provider");
            let builder = HttpsConnectorBuilder::new()
                .with_provider_and_platform_verifier(Arc::clone(provider))?;
            Connector::Tls(builder.https_only().enable_http1().wrap_connector(tcp))
        } else {
            Connector::Plain(tcp)
        };
        let room = Mutex::new(vec![0; READ_BYTES].into());
        Ok(Self { url, connector, connect_timeout, idle: Mutex::default(), room })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        request: Request<Vec<u8>>,
    ) -> Result<Response<AnswerBody>, CallError> {
        let request = written(&request);
        while let Some(link) = self.take_idle() {
            match link.send(request.clone(), self).await {
                Ok(answer) => return Ok(self.answered(answer)),
                Err(SendError::Unsent(_)) => {}
                Err(SendError::Broken(error)) => return Err(CallError::Broken(error)),
            }
        }
        let link = match tokio::time::timeout(self.connect_timeout, self.connect()).await {
            Ok(connected) => connected.map_err(CallError::Connect)?,
            Err(elapsed) => return Err(CallError::Connect(elapsed.into())),
        };
        match link.send(request, self).await {
            Ok(answer) => Ok(self.answered(answer)),
            Err(SendError::Unsent(error)) => Err(CallError::Connect(error.into())),
            Err(SendError::Broken(error)) => Err(CallError::Broken(error)),
        }
    }

    async fn connect(&self) -> Result<Link, BoxError> {
        let address = self.url.as_str().parse()?;
        let socket = match self.connector.clone() {
            Connector::Plain(mut connector) => {
                poll_fn(|cx| connector.poll_ready(cx)).await?;
                Socket::Plain(connector.call(address).await?.into_inner())
            }
            Connector::Tls(mut connector) => {
                poll_fn(|cx| connector.poll_ready(cx)).await?;
                Socket::Tls(Box::new(TokioIo::new(connector.call(address).await?)))
            }
        };
        Ok(Link { socket, left: BytesMut::new() })
    }

    /// The connection that was used last and is still open.
    fn take_idle(&self) -> Option<Link> {
        let mut idle = self.idle.lock().expect("no holder panics");
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        while let Some((mut link, _)) = idle.pop() {
            // What came meanwhile is the end of the connection, or what nobody asked for.
            let mut cx = Context::from_waker(Waker::noop());
            if link.socket.poll_read(&mut self.room(), &mut cx).is_pending() {
                return Some(link);
            }
        }
        None
    }

    fn room(&self) -> MutexGuard<'_, Box<[u8]>> {
        self.room.lock().expect("no holder panics")
    }

    fn answered(self: &Arc<Self>, (head, link): (AnswerHead, Link)) -> Response<AnswerBody> {
        let AnswerHead { status, headers, framing, keeps_alive } = head;
        let body = AnswerBody { link: Some(link), framing, keeps_alive, home: Arc::clone(self) };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

impl Link {
    /// The head of the answer, and the connection to read its body from.
    async fn send(
        mut self,
        request: Bytes,
        home: &Connections,
    ) -> Result<(AnswerHead, Self), SendError> {
        let mut unsent = request.clone();
        let mut failed = None;
        let answer = poll_fn(|cx| {
            // A server may answer, and close, before it has read everything.
            if failed.is_none()
                && let Poll::Ready(Err(error)) = self.poll_write(&mut unsent, cx)
            {
                failed = Some(error);
            }
            self.poll_head(home, cx)
        })
        .await;
        match answer {
            Ok(head) => {
                let keeps_alive = head.keeps_alive && unsent.is_empty();
                Ok((AnswerHead { keeps_alive, ..head }, self))
            }
            Err(error) => {
                let error = failed.unwrap_or(error);
                let nothing_left = unsent.len() == request.len();
                Err(if nothing_left { SendError::Unsent(error) } else { SendError::Broken(error) })
            }
        }
    }

    fn poll_write(&mut self, unsent: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !unsent.is_empty() {
            let sent_bytes = ready!(self.socket.poll_write(unsent, cx))?;
            if sent_bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            unsent.advance(sent_bytes);
        }
        self.socket.poll_flush(cx)
    }

    fn poll_head(
        &mut self,
        home: &Connections,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AnswerHead>> {
        loop {
            if let Some(head) = AnswerHead::take(&mut self.left).map_err(not_http)? {
                return Poll::Ready(Ok(head));
            }
            let mut room = home.room();
            let bytes = ready!(self.socket.poll_read(&mut room, cx))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.left.extend_from_slice(&room[..bytes]);
        }
    }
}

/// The body of an answer. Read to its end, it gives the connection back; dropped before, it closes it.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    /// There until the body is over.
    link: Option<Link>,
    framing: BodyFraming,
    keeps_alive: bool,
    home: Arc<Connections>,
}

impl AnswerBody {
    /// The next bytes; `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(link) = &mut self.link else { return Poll::Ready(None) };
        let error = loop {
            let mut left = &link.left[..];
            let taken = self.framing.take(&mut left).map(|part| part.map(Bytes::copy_from_slice));
            let taken_bytes = link.left.len() - left.len();
            link.left.advance(taken_bytes);
            match taken {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(None) if self.framing.is_over() => {
                    self.give_back();
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Err(error) => break not_http(error),
            }
            let mut room = self.home.room();
            let mut read = match ready!(link.socket.poll_read(&mut room, cx)) {
                Ok(0) if self.framing.is_whole_at_end() => {
                    drop(room);
                    self.link = None;
                    return Poll::Ready(None);
                }
                Ok(0) => break io::ErrorKind::UnexpectedEof.into(),
                Ok(bytes) => &room[..bytes],
                Err(error) => break error,
            };
            if !link.left.is_empty() {
                link.left.extend_from_slice(read);
                continue;
            }
            let taken = self.framing.take(&mut read).map(|part| part.map(Bytes::copy_from_slice));
            // New room where some is needed: what was there before is given back.
            link.left = BytesMut::from(read);
            match taken {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(None) => {}
                Err(error) => break not_http(error),
            }
        };
        self.link = None;
        Poll::Ready(Some(Err(error)))
    }

    /// The next bytes, for callers that await.
    pub(crate) async fn bytes(&mut self) -> Option<io::Result<Bytes>> {
        poll_fn(|cx| self.poll_bytes(cx)).await
    }

    fn give_back(&mut self) {
        // More than was asked for means that the next answer would be another's.
        let link = self.link.take().filter(|link| self.keeps_alive && link.left.is_empty());
        if let Some(link) = link {
            let mut idle = self.home.idle.lock().expect("no holder panics");
            idle.push((link, Instant::now()));
        }
    }
}

/// A request as it goes over the wire.
fn written(request: &Request<Vec<u8>>) -> Bytes {
    let body = request.body();
    let mut bytes = Vec::with_capacity(1024 + body.len());
    bytes.extend_from_slice(request.method().as_str().as_bytes());
    bytes.extend_from_slice(format!(" {} HTTP/1.1\r\n", request.uri()).as_bytes());
    for (name, value) in request.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if request.method() != Method::GET {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes.into()
}

fn not_http(error: NotHttp) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
