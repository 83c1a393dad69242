use http_edge::{Access, BearerToken, EdgeOptions, NamedToken, Scope, TokenSet};

use crate::running_server::{Answer, RunningServer, local};

const LISTED: &str = "http://app.example:3000";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn guarded() -> EdgeOptions {
    let token = NamedToken {
        name: "default".to_owned(),
        scope: Scope::Admin,
        current: BearerToken::new(TOKEN).unwrap(),
        previous: None,
    };
    let tokens = TokenSet::new(vec![token]).unwrap();
    EdgeOptions { gate: Access::Tokens(tokens).into(), ..local() }
}

/// All headers of this protocol, and `Vary`.
fn told(answer: &Answer) -> Vec<(&str, &str)> {
    let of_cors = |name: &str| name.starts_with("access-control-") || name == "vary";
    let headers = answer.headers.iter().filter(|(name, _)| of_cors(name));
    let mut told: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
    told.sort_unstable();
    told
}

const EXPOSED: (&str, &str) = (
    "access-control-expose-headers",
    "Allow, ETag, Idempotency-Replayed, Location, Retry-After, WWW-Authenticate, X-Backoff-Ms, \
     X-Budget-Cost-Remaining, X-Budget-Time-Remaining-Ms, X-Budget-Tokens-Remaining, X-Correlation-Id, \
     X-Request-Id, X-Should-Retry, X-Task-Id",
);

fn preflight(path: &str, origin: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\nHost: localhost\nOrigin: {origin}\nAccess-Control-Request-Method: POST\n\
         Access-Control-Request-Headers: authorization,content-type,x-stainless-os"
    )
}

/// Verifies: ORCH-236
#[tokio::test]
async fn without_listed_origins_browsers_are_told_nothing() {
    let server = RunningServer::start(EdgeOptions::new(Access::Local)).await;
    assert_eq!(told(&server.get("/v2/hello").await), []);
    let answer = server.ask(&preflight("/v2/hello", LISTED), "").await;
    answer.assert_error(403, "HOST_NOT_ALLOWED");
    assert_eq!(told(&answer), []);
}

/// Verifies: ORCH-236, ORCH-005
#[tokio::test]
async fn a_preflight_of_a_listed_origin_is_answered_alike_for_each_path() {
    for options in [local(), guarded()] {
        let server = RunningServer::start(options).await;
        for path in ["/v2/hello", "/nowhere"] {
            let answer = server.ask(&preflight(path, LISTED), "").await;
            assert_eq!((answer.status, answer.body.as_str()), (204, ""));
            assert!(answer.header("x-correlation-id").is_some());
            assert_eq!(
                told(&answer),
                [
                    ("access-control-allow-headers", "authorization,content-type,x-stainless-os"),
                    ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
                    ("access-control-allow-origin", LISTED),
                    EXPOSED,
                    ("access-control-max-age", "600"),
                    ("vary", "Access-Control-Request-Method, Access-Control-Request-Headers"),
                    ("vary", "Origin"),
                ]
            );
        }
    }
}

/// Verifies: ORCH-236
#[tokio::test]
async fn a_listed_origin_may_read_answers_and_errors() {
    let server = RunningServer::start(guarded()).await;
    let ask = async |path: &str, origin: &str, token: &str| {
        let head = format!(
            "GET {path} HTTP/1.1\nHost: llm.example\nOrigin: {origin}\nAuthorization: Bearer {token}"
        );
        server.ask(&head, "").await
    };
    let granted = [("access-control-allow-origin", LISTED), EXPOSED, ("vary", "Origin")];
    for (path, token, status) in
        [("/v2/hello", TOKEN, 200), ("/nowhere", TOKEN, 404), ("/v2/hello", "wrong", 401)]
    {
        let answer = ask(path, LISTED, token).await;
        assert_eq!(answer.status, status);
        assert_eq!(told(&answer), granted, "{path}");
    }
    // With a token, another origin is no reason to refuse: only the browser is not told to share.
    let other = ask("/v2/hello", "http://app.example", TOKEN).await;
    assert_eq!((other.status, told(&other)), (200, vec![("vary", "Origin")]));
    let other = server.ask(&preflight("/v2/hello", "http://app.example"), "").await;
    other.assert_error(401, "MISSING_TOKEN");
    assert_eq!(told(&other), [("vary", "Origin")]);
}

/// Verifies: ORCH-236
#[tokio::test]
async fn a_preflight_does_not_get_around_the_host_rule() {
    let server = RunningServer::start(local()).await;
    let lured = preflight("/v2/hello", LISTED).replace("Host: localhost", "Host: evil.example");
    server.ask(&lured, "").await.assert_error(403, "HOST_NOT_ALLOWED");
    let other = server.ask(&preflight("/v2/hello", "http://evil.example"), "").await;
    other.assert_error(403, "HOST_NOT_ALLOWED");
    assert_eq!(told(&other), [("vary", "Origin")]);
}
