use std::{
    io::Write,
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

use http_edge::{Access, BearerToken, EdgeOptions, Gate, NamedToken, Scope, TokenSet};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::running_server::RunningServer;

/// What was logged by one test, which runs with its server on one thread, as text. The subscriber is the
/// process's: one of a thread alone misses events whose interest other threads are just asking for.
#[derive(Clone)]
struct Lines {
    text: Arc<Mutex<Vec<u8>>>,
    owner: ThreadId,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if thread::current().id() == self.owner {
            self.text.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    /// The audit events of one name.
    fn audited(&self, event: &str) -> Vec<Value> {
        let lines = self.text();
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|line| line["audit"] == true && line["event"] == event).collect()
    }
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn tokens(current: &str) -> TokenSet {
    let token = NamedToken {
        name: "ann".to_owned(),
        scope: Scope::Client,
        current: BearerToken::new(current).unwrap(),
        previous: None,
    };
    TokenSet::new(vec![token]).unwrap()
}

fn subscriber(lines: &Lines) -> impl tracing::Subscriber + Send + Sync {
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone()).finish()
}

/// Verifies: ORCH-235
#[tokio::test]
async fn callers_are_told_by_digest_and_floods_by_number() {
    let lines = Lines { text: Arc::default(), owner: thread::current().id() };
    tracing::subscriber::set_global_default(subscriber(&lines)).unwrap();
    let gate = Gate::new(Access::Tokens(tokens(SECRET)));
    let server = RunningServer::start(EdgeOptions::new(gate.clone())).await;
    let ask = async |token: &str| {
        let head = format!(
            "GET /v2/hello HTTP/1.1\nHost: x\nX-Correlation-Id: c-1\nAuthorization: Bearer {token}"
        );
        server.ask(&head, "").await.status
    };
    for _ in 0..5 {
        assert_eq!(ask(SECRET).await, 200);
    }
    let came = lines.audited("auth_succeeded");
    // sha256 of the token begins with these digits.
    let caller = BearerToken::new(SECRET).unwrap().caller();
    assert_eq!(caller, "token:3eb1bd");
    assert_eq!(came.len(), 1, "{}", lines.text());
    let fields = |event: &Value| {
        ["outcome", "caller", "identity", "correlation_id"]
            .map(|name| event[name].as_str().unwrap().to_owned())
    };
    assert_eq!(fields(&came[0]), ["success", caller.as_str(), "ann", "c-1"]);

    for _ in 0..100 {
        assert_eq!(ask("guessed-by-somebody").await, 401);
    }
    let failed = lines.audited("auth_failed");
    assert_eq!(failed.len(), 10);
    assert_eq!(fields(&failed[0])[..3], ["failure", &caller_of("guessed-by-somebody"), "nobody"]);
    assert_eq!(failed[0]["code"], "BAD_TOKEN");
    assert!(failed[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(server.counters.denied(), 100, "all are counted");

    gate.replace(Access::Tokens(tokens(&"n".repeat(32))));
    let rotated = lines.audited("token_rotated");
    let outcomes: Vec<&Value> = rotated.iter().map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes, ["added", "removed"]);
    assert_eq!(rotated[1]["caller"], caller.as_str());
    assert!(lines.audited("access_changed").is_empty(), "{}", lines.text());
    gate.replace(Access::Local);
    gate.replace(Access::Tokens(tokens(SECRET)));
    let changed = lines.audited("access_changed");
    let outcomes: Vec<&Value> = changed.iter().map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes, ["no_tokens_needed", "tokens_needed"]);
    let rotated = lines.audited("token_rotated");
    let outcomes: Vec<&Value> = rotated[2..].iter().map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes, ["removed", "added"]);
    let text = lines.text();
    assert!(!text.contains(SECRET) && !text.contains("guessed") && !text.contains("nnnn"));
}

fn caller_of(text: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(text);
    format!("token:{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2])
}
