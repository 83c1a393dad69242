use std::{
    io::{self, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex, Once, mpsc},
    thread::JoinHandle,
};

use adapter_host::{AdapterError, Attempt, Input, OutputSupport, Workloads};
use api_types::MessageRequest;
use engine_openai::{OpenAiAdapter, OpenAiConfig, SamplingDialect};
use testkit::{
    Directives, Script,
    adapter_conformance::{Collected, attempt, run},
    prompt_of_messages,
};

pub(crate) fn config(url: &str) -> OpenAiConfig {
    OpenAiConfig {
        base_url: url.to_owned(),
        api_key: None,
        connect_timeout_ms: 5_000,
        first_byte_timeout_ms: 20_000,
        slots: 4,
        ctx_max: None,
        chunk_is_token: true,
        strict: true,
        dialect: SamplingDialect::Standard,
        output: OutputSupport::default(),
        image_tokens: 0,
        workloads: Workloads::default(),
    }
}

pub(crate) fn adapter_of(config: OpenAiConfig) -> OpenAiAdapter {
    static LOGGING: Once = Once::new();
    // For the whole process and before anything is logged: scoped subscribers miss events of threads.
    LOGGING.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init());
    // Another test may have been first; any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    OpenAiAdapter::new(config).unwrap()
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Writes the log of this process to memory.
struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of the log that name an engine by its address.
pub(crate) fn logged_about(url: &str) -> String {
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    log.lines().filter(|line| line.contains(url)).collect()
}

pub(crate) fn adapter(url: &str) -> OpenAiAdapter {
    adapter_of(config(url))
}

pub(crate) fn chat(prompt: &str) -> Input {
    Input::Messages(Arc::from([MessageRequest::text("user", prompt)]))
}

pub(crate) fn chat_attempt(prompt: &str) -> Attempt {
    attempt("scripted", chat(prompt), 1000)
}

/// What the scripted engine answers to [`chat`].
pub(crate) fn chat_script(prompt: &str) -> Script {
    let prompt = prompt_of_messages([("user", prompt)]);
    Script::new(&prompt, &Directives::read(&prompt))
}

pub(crate) async fn ask(url: &str, prompt: &str) -> Collected {
    run(&adapter(url), chat_attempt(prompt)).await
}

pub(crate) async fn error_of(url: &str, prompt: &str) -> AdapterError {
    ask(url, prompt).await.end.unwrap_err()
}

/// A server of one connection that gives canned responses, and hands over the requests it got.
pub(crate) struct Canned {
    pub(crate) url: String,
    requests: mpsc::Receiver<String>,
    _server: JoinHandle<()>,
}

impl Canned {
    /// One response for each request, of exactly these bytes; then the connection is closed.
    pub(crate) fn raw(responses: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        let server = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            for response in responses {
                let mut got = Vec::new();
                let mut piece = [0; 4096];
                while !is_whole(&got) {
                    let bytes = connection.read(&mut piece).unwrap();
                    if bytes == 0 {
                        return; // the client sends no further request
                    }
                    got.extend_from_slice(&piece[..bytes]);
                }
                sender.send(String::from_utf8(got).unwrap()).unwrap();
                // The client may hang up as soon as it has seen enough.
                let _ = connection.write_all(&response);
            }
        });
        Self { url, requests, _server: server }
    }

    /// A response with this status line, these headers and this body.
    pub(crate) fn response(head: &str, body: &str) -> Self {
        Self::raw(vec![response(head, body)])
    }

    /// A successful event stream of these data lines.
    pub(crate) fn stream(data: &[&str]) -> Self {
        let body: String = data.iter().flat_map(|data| ["data: ", data, "\n\n"]).collect();
        Self::response("200 OK\r\nContent-Type: text/event-stream; charset=utf-8", &body)
    }

    /// Head and body of the next request, once it has come.
    pub(crate) fn request(&self) -> (String, serde_json::Value) {
        let request = self.requests.recv().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), serde_json::from_str(body).unwrap_or_default())
    }
}

/// The bytes of a response with this status line, these headers and this body.
pub(crate) fn response(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn is_whole(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request);
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length: ").map(|length| length.parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}
