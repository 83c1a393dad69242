//! A daemon that answers each request with the bytes that a test chose.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

pub(crate) struct CannedDaemon {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: JoinSet<()>,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Such as `GET /v2/status`.
    pub(crate) line: String,
    /// Lines of the head, names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

/// What is done with a connection; it is closed after the last step.
pub(crate) type Reply = Vec<Step>;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write(Vec<u8>),
    Pause(Duration),
    /// The connection stays open, in silence.
    Hold,
}

impl CannedDaemon {
    pub(crate) async fn start(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    pub(crate) async fn start_at(
        addr: SocketAddr,
        mut answer: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let heard = Arc::clone(&asked);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                // One request per connection; its head is there by the time the connection is.
                let Some(request) = read_request(&mut stream).await else { continue };
                let reply = answer(&request);
                heard.lock().unwrap().push(request);
                connections.spawn(perform(stream, reply));
            }
        });
        Self { addr, asked, server }
    }

    /// Closes the port and all connections, as `kill -9` does.
    pub(crate) async fn kill(mut self) {
        self.server.shutdown().await;
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// The id that a stream is resumed behind; 0 from the start.
    pub(crate) fn last_event_id(&self) -> u64 {
        self.header("last-event-id").map_or(0, |id| id.parse().unwrap())
    }
}

async fn perform(mut stream: TcpStream, reply: Reply) {
    for step in reply {
        match step {
            // The other side may be gone already, which is its right.
            Step::Write(bytes) => drop(stream.write_all(&bytes).await),
            Step::Pause(pause) => tokio::time::sleep(pause).await,
            Step::Hold => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n");
            let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
            let headers: Vec<(String, String)> = lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length = length.map_or(0, |(_, value)| value.parse().unwrap());
            let body = &bytes[end + 4..];
            if body.len() >= length {
                let body = String::from_utf8(body.to_vec()).unwrap();
                return Some(Asked { line, headers, body, at: Instant::now() });
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: &str, headers: &[&str], body: &serde_json::Value) -> Reply {
    let body = body.to_string();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    vec![Step::Write((head + &body).into_bytes())]
}

/// The head of a stream, and what is done then.
pub(crate) fn stream(steps: impl IntoIterator<Item = Step>) -> Reply {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 1000\n\n";
    [write(head)].into_iter().chain(steps).collect()
}

/// A stream that breaks after these bytes: the chunk they are in is longer.
pub(crate) fn broken_stream(bytes: &[u8]) -> Reply {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n";
    vec![Step::Write([head.as_bytes(), bytes].concat())]
}

/// Nothing is left.
pub(crate) fn nothing_left() -> Reply {
    vec![write("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")]
}

pub(crate) fn write(text: &str) -> Step {
    Step::Write(text.as_bytes().to_vec())
}
