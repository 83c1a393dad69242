use crate::running_server::{RunningServer, local};

/// Verifies: ORCH-005
#[tokio::test]
async fn every_answer_carries_the_clients_id_or_a_fresh_one() {
    let server = RunningServer::start(local()).await;
    let with = |id: &str| format!("GET /v2/who HTTP/1.1\nHost: localhost\nX-Correlation-Id: {id}");
    for id in ["a", "A-z_0.9:x", &"x".repeat(128)] {
        let answer = server.ask(&with(id), "").await;
        assert_eq!(answer.header("x-correlation-id"), Some(id));
        assert_eq!(answer.body, format!("localhost {id}"));
    }
    for unusable in ["two words", "é", "a/b", &"x".repeat(129)] {
        let answer = server.ask(&with(unusable), "").await;
        assert_eq!(answer.status, 200);
        let fresh: uuid::Uuid = answer.header("x-correlation-id").unwrap().parse().unwrap();
        assert_eq!(fresh.get_version_num(), 7);
    }
    let twice = "GET /v2/who HTTP/1.1\nHost: localhost\nX-Correlation-Id: a\nX-Correlation-Id: b";
    let answer = server.ask(twice, "").await;
    assert!(answer.header("x-correlation-id").unwrap().parse::<uuid::Uuid>().is_ok());
}

/// Verifies: ORCH-005
#[tokio::test]
async fn answers_without_a_body_and_errors_carry_it_too() {
    let server = RunningServer::start(local()).await;
    for (request, status) in [
        ("GET /v2/none", 204),
        ("GET /v2/nowhere", 404),
        ("DELETE /v2/hello", 405),
        ("GET /v2/panic", 500),
        ("HEAD /v2/hello", 200),
    ] {
        let head = format!("{request} HTTP/1.1\nHost: localhost\nX-Correlation-Id: mine");
        // Of HEAD only the head is sent, so its answer is read up to there.
        let mut stream = server.connect().await;
        crate::running_server::send(&mut stream, &head, "").await;
        if request.starts_with("HEAD") {
            use tokio::io::AsyncReadExt as _;
            let mut bytes = vec![0; 512];
            let read = stream.read(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
            assert!(text.contains("x-correlation-id: mine"), "{text}");
            continue;
        }
        let answer = crate::running_server::Answer::read(&mut stream).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("x-correlation-id"), Some("mine"), "{request}");
    }
}
