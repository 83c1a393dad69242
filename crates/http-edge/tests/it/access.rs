use http_edge::{
    Access, BearerToken, EdgeOptions, Gate, NamedToken, Scope, TokenSet, UnfitTokens, WeakToken,
    check_bind,
};

use crate::running_server::{Answer, RunningServer, local, send};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn named(name: &str, current: &str, previous: Option<&str>) -> NamedToken {
    NamedToken {
        name: name.to_owned(),
        scope: Scope::Client,
        current: BearerToken::new(current).unwrap(),
        previous: previous.map(|text| BearerToken::new(text).unwrap()),
    }
}

fn tokens(tokens: Vec<NamedToken>) -> TokenSet {
    TokenSet::new(tokens).unwrap()
}

fn guarded() -> EdgeOptions {
    EdgeOptions::new(Access::Tokens(tokens(vec![named("default", TOKEN, None)])))
}

/// Verifies: ORCH-236
#[tokio::test]
async fn without_a_token_only_loopback_hosts_are_served() {
    let server = RunningServer::start(local()).await;
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:8080"]
    {
        let answer = server.ask(&format!("GET /v2/hello HTTP/1.1\nHost: {host}"), "").await;
        assert_eq!(answer.status, 200, "{host}");
    }
    for host in [
        "attacker.example",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example:8080",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::1",
        "[::1]x",
        "localhost:http",
        "127.1",
        "",
    ] {
        let answer = server.ask(&format!("GET /v2/hello HTTP/1.1\nHost: {host}"), "").await;
        answer.assert_error(403, "HOST_NOT_ALLOWED");
    }
    for head in [
        "GET /v2/hello HTTP/1.1",
        "GET /v2/hello HTTP/1.1\nHost: localhost\nHost: attacker.example",
        "GET http://attacker.example/v2/hello HTTP/1.1\nHost: localhost",
        "GET http://localhost/v2/hello HTTP/1.1\nHost: attacker.example",
    ] {
        server.ask(head, "").await.assert_error(403, "HOST_NOT_ALLOWED");
    }
    assert_eq!(server.counters.denied(), 15);
}

/// Verifies: ORCH-236
#[tokio::test]
async fn without_a_token_only_own_and_listed_origins_are_served() {
    let server = RunningServer::start(local()).await;
    let ask = async |origin: &str| {
        let head = format!("GET /v2/hello HTTP/1.1\nHost: localhost:8080\nOrigin: {origin}");
        server.ask(&head, "").await
    };
    for origin in ["http://localhost:8080", "http://app.example:3000"] {
        assert_eq!(ask(origin).await.status, 200, "{origin}");
    }
    for origin in [
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:8080",
        "http://attacker.example",
        "null",
    ] {
        ask(origin).await.assert_error(403, "HOST_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn the_token_is_asked_for_before_anything_about_the_path_is_told() {
    let server = RunningServer::start(guarded()).await;
    for request in
        ["GET /v2/hello", "GET /v2/nowhere", "DELETE /v2/hello", "GET /metrics", "GET /healthz/x"]
    {
        let answer = server.ask(&format!("{request} HTTP/1.1\nHost: any.example"), "").await;
        answer.assert_error(401, "MISSING_TOKEN");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{request}");
    }
    let health = server.ask("GET /healthz HTTP/1.1\nHost: any.example", "").await;
    assert_eq!((health.status, health.body.as_str()), (200, "ok"));
}

/// Verifies: ORCH-233
#[tokio::test]
async fn only_the_very_token_opens() {
    let server = RunningServer::start(guarded()).await;
    let with = async |value: &str| {
        let head = format!(
            "GET /v2/who HTTP/1.1\nHost: any.example\nAuthorization: {value}\nX-Correlation-Id: c"
        );
        server.ask(&head, "").await
    };
    for value in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}")] {
        let answer = with(&value).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "default c"), "{value}");
    }
    for value in
        [format!("Bearer {TOKEN}0"), "Bearer 0".to_owned(), format!("Bearer {}", &TOKEN[1..])]
    {
        let answer = with(&value).await;
        answer.assert_error(401, "BAD_TOKEN");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(!answer.body.contains("0123"), "the answer repeats the token");
    }
    for value in [format!("Basic {TOKEN}"), TOKEN.to_owned(), "Bearer".to_owned()] {
        with(&value).await.assert_error(401, "MISSING_TOKEN");
    }
}

/// Verifies: ORCH-233
#[test]
fn short_and_odd_tokens_are_refused_and_none_is_printed() {
    assert_eq!(BearerToken::new(&TOKEN[1..]).unwrap_err(), WeakToken);
    assert_eq!(BearerToken::new("").unwrap_err(), WeakToken);
    assert_eq!(BearerToken::new(&format!("{TOKEN} {TOKEN}")).unwrap_err(), WeakToken);
    assert_eq!(BearerToken::new(&format!("{TOKEN}é")).unwrap_err(), WeakToken);
    let token = BearerToken::new(&format!("{TOKEN}\n")).unwrap();
    assert_eq!(format!("{token:?}"), "BearerToken(masked)");
}

/// Verifies: ORCH-231
#[test]
fn addresses_beyond_loopback_need_a_token() {
    for loopback in ["127.0.0.1:8080", "127.9.9.9:1", "[::1]:8080"] {
        assert_eq!(check_bind(loopback.parse().unwrap(), false), Ok(()));
    }
    for outside in ["0.0.0.0:8080", "[::]:8080", "10.0.0.7:8080", "[::ffff:127.0.0.1]:8080"] {
        let addr = outside.parse().unwrap();
        let refused = check_bind(addr, false).unwrap_err().to_string();
        assert!(
            refused.contains("server.addr") && refused.contains("auth.token_file"),
            "{refused}"
        );
        assert_eq!(check_bind(addr, true), Ok(()));
    }
}

/// Verifies: ORCH-233
#[test]
fn tokens_that_cannot_be_told_apart_are_refused() {
    let other = "f".repeat(32);
    let new = TokenSet::new;
    assert_eq!(new(vec![]).unwrap_err(), UnfitTokens::None);
    for name in ["localhost", "nobody"] {
        let taken = UnfitTokens::NameTaken { name: name.to_owned() };
        assert_eq!(new(vec![named(name, TOKEN, None)]).unwrap_err(), taken);
    }
    let same = || UnfitTokens::SameToken { name: "b".to_owned() };
    let pair = |b| new(vec![named("a", TOKEN, None), b]);
    assert_eq!(pair(named("b", TOKEN, None)).unwrap_err(), same());
    assert_eq!(pair(named("b", &other, Some(TOKEN))).unwrap_err(), same());
    // A previous token that is the current one is no second token.
    assert!(pair(named("b", &other, Some(&other))).is_ok());
}

/// Verifies: ORCH-234
#[tokio::test]
async fn tokens_are_replaced_on_open_connections_and_names_stay() {
    let (old, new) = ("o".repeat(32), "n".repeat(32));
    let gate = Gate::new(Access::Tokens(tokens(vec![
        named("ann", &old, None),
        named("bob", TOKEN, None),
    ])));
    let server = RunningServer::start(EdgeOptions::new(gate.clone())).await;
    let mut stream = server.connect().await;
    let mut who = async |token: &str| {
        let head = format!(
            "GET /v2/who HTTP/1.1\nHost: x\nX-Correlation-Id: c\nAuthorization: Bearer {token}"
        );
        send(&mut stream, &head, "").await;
        let answer = Answer::read(&mut stream).await;
        (answer.status, answer.body.starts_with("ann ") as u8)
    };
    assert_eq!(who(&old).await, (200, 1));
    assert_eq!(who(&new).await, (401, 0));
    gate.replace(Access::Tokens(tokens(vec![named("ann", &new, Some(&old))])));
    assert_eq!(who(&old).await, (200, 1));
    assert_eq!(who(&new).await, (200, 1));
    assert_eq!(who(TOKEN).await, (401, 0));
    gate.replace(Access::Tokens(tokens(vec![named("ann", &new, None)])));
    assert_eq!(who(&old).await, (401, 0));
    assert_eq!(who(&new).await, (200, 1));
}

/// Verifies: ORCH-232, ORCH-236, ORCH-285
#[tokio::test]
async fn tokens_begin_and_cease_to_be_needed_on_open_connections() {
    let gate = Gate::new(Access::Local);
    let server = RunningServer::start(EdgeOptions::new(gate.clone())).await;
    let mut stream = server.connect().await;
    let mut ask = async |host: &str, token: &str| {
        let head = format!(
            "GET /v2/who HTTP/1.1\nHost: {host}\nX-Correlation-Id: c\nAuthorization: Bearer {token}"
        );
        send(&mut stream, &head, "").await;
        Answer::read(&mut stream).await.status
    };
    assert_eq!((ask("localhost", "").await, ask("far.example", TOKEN).await), (200, 403));
    gate.replace(Access::Tokens(tokens(vec![named("ann", TOKEN, None)])));
    assert_eq!((ask("localhost", "").await, ask("far.example", TOKEN).await), (401, 200));
    gate.replace(Access::Local);
    assert_eq!((ask("localhost", "").await, ask("far.example", TOKEN).await), (200, 403));
}
