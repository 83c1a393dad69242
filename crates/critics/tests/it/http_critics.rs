use std::time::Duration;

use critic_executor::{Critic as _, CriticContext, CriticError, ErrorKind, RiskLevel, RunInput};
use critics::{HttpClientError, Secret, http_critic};
use serde_json::json;

use crate::http_server::{Answer, Server};

const OK: &str = r#"{"finding": {"severity": 0.5, "violations": [{"code": "rude", "message": "is rude"}]}, "cost": 7}"#;

async fn ask(answer: Answer) -> Result<critic_executor::CriticOutput, CriticError> {
    let server = Server::start(move |_| answer.clone()).await;
    let critic = http_critic(&server.url).unwrap();
    critic.evaluate(&CriticContext::standalone(RunInput::new("hello"))).await
}

async fn check(status: u16, headers: Vec<(&'static str, String)>, body: &str, kind: ErrorKind) {
    let error = ask((status, headers, body.to_owned())).await.unwrap_err();
    assert_eq!(error.kind(), kind, "for {status}: {error}");
}

/// Verifies: CRIT-244
#[tokio::test]
async fn a_good_answer_is_the_critics_output() {
    let output = ask((200, vec![], OK.to_owned())).await.unwrap();
    assert_eq!((output.finding.severity, output.cost.map(|cost| cost.0)), (0.5, Some(7)));
}

/// Verifies: CRIT-244
#[tokio::test]
async fn the_request_says_what_is_judged_and_how_long_it_may_take() {
    let server = Server::start(|_| (200, vec![], OK.to_owned())).await;
    let critic =
        http_critic(&format!("{}/v1/tone", server.url)).unwrap().bearer(Secret::new("k3y\n"));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let input = RunInput::new("in").output("out").risk(RiskLevel::High).context("tenant", "blue");
    let ctx = CriticContext::standalone(input.clone().trace_id(traceparent))
        .with_attempt(2)
        .with_remaining(Duration::from_secs(3));
    critic.evaluate(&ctx).await.unwrap();
    critic.evaluate(&CriticContext::standalone(input.trace_id("order 7"))).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].path, "/v1/tone");
    let remaining_ms = asked[0].body["remaining_ms"].as_u64().unwrap();
    assert!((1..=3000).contains(&remaining_ms));
    let mut body = asked[0].body.clone();
    body.as_object_mut().unwrap().remove("remaining_ms");
    assert_eq!(
        body,
        json!({
            "critic": "critic", "attempt": 2, "input": "in", "output": "out",
            "context": { "tenant": "blue" }, "risk": "high",
        })
    );
    assert_eq!(asked[0].headers["authorization"], "Bearer k3y");
    assert_eq!(asked[0].headers["traceparent"], traceparent);
    assert!(!asked[1].headers.contains_key("traceparent"));
    assert!(!asked[1].headers.contains_key("x-trace-id"), "a header cannot hold it");
}

/// Verifies: CRIT-244, CRIT-245
#[tokio::test]
async fn each_status_has_its_kind() {
    let limited = |seconds: Option<u64>| ErrorKind::RateLimited {
        retry_after: seconds.map(Duration::from_secs),
    };
    for status in [408, 500, 502, 503, 504] {
        check(status, vec![], "", ErrorKind::Transient).await;
    }
    check(429, vec![], "", limited(None)).await;
    check(429, vec![("retry-after", "7".to_owned())], "", limited(Some(7))).await;
    check(503, vec![("retry-after", "2".to_owned())], "", limited(Some(2))).await;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
    let later = "Sun, 06 Nov 1994 08:50:07 GMT".to_owned();
    check(429, vec![("date", date), ("retry-after", later)], "", limited(Some(30))).await;
    check(429, vec![("retry-after", "soon".to_owned())], "", limited(None)).await;
    for status in [400, 404, 405, 410, 413, 422] {
        check(status, vec![], OK, ErrorKind::Permanent).await;
    }
    for status in [401, 403] {
        let error = ask((status, vec![], String::new())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permanent);
        assert!(error.to_string().contains("credential"), "{error}");
    }
}

/// Verifies: CRIT-244
#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start(|asked| {
        if asked.path == "/" {
            (307, vec![("location", "/elsewhere".to_owned())], String::new())
        } else {
            (200, vec![], OK.to_owned())
        }
    })
    .await;
    let critic = http_critic(&server.url).unwrap();
    let error = critic.evaluate(&CriticContext::standalone(RunInput::new("x"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent);
    assert_eq!(server.asked().len(), 1);
}

/// Verifies: CRIT-244
#[tokio::test]
async fn an_answer_that_is_none_is_invalid() {
    check(200, vec![], "", ErrorKind::Invalid).await;
    check(200, vec![], "{}", ErrorKind::Invalid).await;
    check(200, vec![], r#"{"finding": {"severity": "high"}}"#, ErrorKind::Invalid).await;
    check(200, vec![], r#"{"finding": {"severity": 0}, "surprise": 1}"#, ErrorKind::Invalid).await;
    let large =
        format!(r#"{{"finding": {{"severity": 0}}, "data": "{}"}}"#, "x".repeat(1024 * 1024));
    check(200, vec![], &large, ErrorKind::Invalid).await;
}

/// Verifies: CRIT-244
#[tokio::test]
async fn nobody_there_and_nobody_answering_are_transient() {
    let gone = Server::start(|_| (200, vec![], String::new())).await.url.clone();
    let error =
        http_critic(&gone).unwrap().evaluate(&CriticContext::standalone(RunInput::new("x"))).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Transient);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let critic = http_critic(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let ctx =
        CriticContext::standalone(RunInput::new("x")).with_remaining(Duration::from_millis(50));
    assert_eq!(critic.evaluate(&ctx).await.unwrap_err().kind(), ErrorKind::Transient);
}

/// Verifies: CRIT-137
#[tokio::test]
async fn it_asks_once_an_attempt() {
    let server = Server::start(|_| (500, vec![], String::new())).await;
    let critic = http_critic(&server.url).unwrap();
    critic.evaluate(&CriticContext::standalone(RunInput::new("x"))).await.unwrap_err();
    assert_eq!(server.asked().len(), 1);
}

/// Verifies: CRIT-248
#[tokio::test]
async fn credentials_show_nowhere() {
    let server = Server::start(|asked| {
        (401, vec![], asked.headers["authorization"].to_str().unwrap().to_owned())
    })
    .await;
    let secret = Secret::new("hunter2-hunter2");
    let critic =
        http_critic(&format!("{}/hook/s3cr3t-path", server.url)).unwrap().bearer(secret.clone());
    let error = critic.evaluate(&CriticContext::standalone(RunInput::new("x"))).await.unwrap_err();
    let shown = format!("{critic:?} {secret:?} {error:?} {error} {}", critic.settings());
    assert!(!shown.contains("hunter2") && !shown.contains("s3cr3t"), "{shown}");
    let HttpClientError::Address { url } =
        http_critic("https://me:hunter2@example.org").unwrap_err()
    else {
        panic!("a credential in an address is refused");
    };
    assert_eq!(url, "***@example.org");
    assert!(http_critic("ftp://example.org").is_err());
    assert!(http_critic("example.org/x").is_err());
}
