use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::crypto::CryptoProvider;
use tokio::{net::TcpStream, time::Instant};
use tower::Service as _;
use url::Url;

/// How long an idle connection is kept. Servers on uvicorn (vLLM, SGLang) close theirs after 5 s; one
/// that closes under a request would fail it.
const IDLE: Duration = Duration::from_secs(4);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Socket = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Connections to one server. Each is driven by whoever uses it, in their own task: what the server sent is
/// read, taken apart and passed on without a wake-up of another task, and all that is there in one go.
#[derive(Debug)]
pub(crate) struct Connections {
    url: Url,
    connector: Connector,
    connect_timeout: Duration,
    /// Newest last. At most as many as were in use at once.
    idle: Mutex<Vec<(Link, Instant)>>,
}

#[derive(Debug, Clone)]
enum Connector {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

/// One connection: the side that takes requests, and the side that reads and writes.
#[derive(Debug)]
struct Link {
    sender: SendRequest<Full<Bytes>>,
    driver: http1::Connection<Socket, Full<Bytes>>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("no connection")]
    Connect(#[source] BoxError),
    #[error("the connection ended before the answer")]
    Broken(#[source] hyper::Error),
}

enum SendError {
    /// Nothing of the request has left.
    Unsent(Box<Request<Full<Bytes>>>),
    Broken(hyper::Error),
}

impl Connections {
    /// Connections to the host of `url`; none is opened yet.
    ///
    /// # Errors
    /// The system's roots of trust cannot be read, where `url` asks for TLS.
    ///
    /// # Panics
    /// For TLS, when the process has installed no rustls crypto provider.
    pub(crate) fn new(url: Url, connect_timeout: Duration) -> std::io::Result<Self> {
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
        Ok(Self { url, connector, connect_timeout, idle: Mutex::default() })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<AnswerBody>, CallError> {
        while let Some(link) = self.take_idle() {
            match link.send(request).await {
                Ok(answer) => return Ok(self.answered(answer)),
                Err(SendError::Unsent(unsent)) => request = *unsent,
                Err(SendError::Broken(error)) => return Err(CallError::Broken(error)),
            }
        }
        let link = match tokio::time::timeout(self.connect_timeout, self.connect()).await {
            Ok(connected) => connected.map_err(CallError::Connect)?,
            Err(elapsed) => return Err(CallError::Connect(elapsed.into())),
        };
        match link.send(request).await {
            Ok(answer) => Ok(self.answered(answer)),
            Err(SendError::Unsent(_)) => {
                let closed = "the server closes new connections".into();
                Err(CallError::Connect(closed))
            }
            Err(SendError::Broken(error)) => Err(CallError::Broken(error)),
        }
    }

    async fn connect(&self) -> Result<Link, BoxError> {
        let address = self.url.as_str().parse()?;
        let socket: Socket = match self.connector.clone() {
            Connector::Plain(mut connector) => {
                poll_fn(|cx| connector.poll_ready(cx)).await?;
                MaybeHttpsStream::Http(connector.call(address).await?)
            }
            Connector::Tls(mut connector) => {
                poll_fn(|cx| connector.poll_ready(cx)).await?;
                connector.call(address).await?
            }
        };
        let (sender, driver) = http1::handshake(socket).await?;
        Ok(Link { sender, driver })
    }

    /// The connection that was used last and is still open.
    fn take_idle(&self) -> Option<Link> {
        let mut idle = self.idle.lock().expect("no holder panics");
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        while let Some((mut link, _)) = idle.pop() {
            // Reads what came meanwhile: the end of the connection, or nothing.
            let mut cx = Context::from_waker(Waker::noop());
            if Pin::new(&mut link.driver).poll(&mut cx).is_pending() && link.sender.is_ready() {
                return Some(link);
            }
        }
        None
    }

    fn answered(
        self: &Arc<Self>,
        (response, link): (Response<Incoming>, Option<Link>),
    ) -> Response<AnswerBody> {
        response.map(|body| AnswerBody { body, link, home: Arc::clone(self) })
    }
}

impl Link {
    /// The answer, and the connection unless it is over with it.
    async fn send(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Option<Self>), SendError> {
        let mut is_over = false;
        let answer = {
            let mut answer = pin!(self.sender.try_send_request(request));
            poll_fn(|cx| {
                // What is wrong with the connection, the answer tells.
                is_over = is_over || Pin::new(&mut self.driver).poll(cx).is_ready();
                answer.as_mut().poll(cx)
            })
            .await
        };
        match answer {
            Ok(response) => Ok((response, (!is_over).then_some(self))),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => SendError::Unsent(Box::new(request)),
                None => SendError::Broken(error.into_error()),
            }),
        }
    }
}

/// The body of an answer. Read to its end, it gives the connection back; dropped before, it closes it.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: Incoming,
    link: Option<Link>,
    home: Arc<Connections>,
}

impl AnswerBody {
    /// The next bytes; `None` at the end.
    pub(crate) fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            let mut frame = Pin::new(&mut self.body).poll_frame(cx);
            if frame.is_pending()
                && let Some(link) = &mut self.link
            {
                if Pin::new(&mut link.driver).poll(cx).is_ready() {
                    // What it read before its end is in the body.
                    self.link = None;
                }
                frame = Pin::new(&mut self.body).poll_frame(cx);
            }
            match ready!(frame) {
                None => {
                    self.give_back(cx);
                    return Poll::Ready(None);
                }
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    // Trailers mean nothing in this protocol.
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// The next bytes, for callers that await.
    pub(crate) async fn bytes(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        poll_fn(|cx| self.poll_bytes(cx)).await
    }

    fn give_back(&mut self, cx: &mut Context<'_>) {
        let Some(mut link) = self.link.take() else { return };
        if Pin::new(&mut link.driver).poll(cx).is_pending() && link.sender.is_ready() {
            let mut idle = self.home.idle.lock().expect("no holder panics");
            idle.push((link, Instant::now()));
        }
    }
}
