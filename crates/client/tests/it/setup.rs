use client::{Client, ClientConfig, ClientError, Token};
use serde_json::json;

use crate::{
    canned_daemon::{self, CannedDaemon},
    wire::config,
};

#[test]
fn what_is_no_address_of_a_daemon_is_refused_without_repeating_credentials() {
    drop(rustls::crypto::ring::default_provider().install_default());
    for text in
        ["", "127.0.0.1:8080", "ftp://x", "http://u:secret@x/", "http://x/?a=b", "http://x#a"]
    {
        let error = Client::new(ClientConfig::new(text)).unwrap_err();
        assert!(matches!(error, ClientError::Address { .. }), "{text}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_api_may_lie_under_a_path() {
    let daemon = CannedDaemon::start(|_| {
        canned_daemon::json("200 OK", &[], &json!({"ready": true, "failing": []}))
    })
    .await;
    for path in ["", "/", "/llm", "/llm/"] {
        let config = ClientConfig::new(format!("{}{path}", daemon.url()));
        Client::new(config).unwrap().ready().await.unwrap();
    }
    let lines: Vec<String> = daemon.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /readyz", "GET /readyz", "GET /llm/readyz", "GET /llm/readyz"]);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_file_is_sent_and_never_shown() {
    let daemon = CannedDaemon::start(|_| {
        canned_daemon::json("200 OK", &[], &json!({"ready": true, "failing": []}))
    })
    .await;
    let config = ClientConfig { token: Some(Token::new("s3cret\n")), ..config(&daemon) };
    assert!(!format!("{config:?}").contains("s3cret"));
    let client = Client::new(config).unwrap();
    assert!(!format!("{client:?}").contains("s3cret"));
    client.ready().await.unwrap();
    assert_eq!(daemon.asked()[0].header("authorization"), Some("Bearer s3cret"));
}

#[test]
fn a_token_with_a_line_end_inside_is_refused() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let config =
        ClientConfig { token: Some(Token::new("a\nb")), ..ClientConfig::new("http://127.0.0.1:1") };
    assert!(matches!(Client::new(config), Err(ClientError::Token)));
}

#[test]
fn an_address_tells_whether_the_daemon_is_on_this_machine() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let check = |url: &str, host: &str, port: u16, is_local: bool| {
        let client = Client::new(ClientConfig::new(url)).unwrap();
        assert_eq!((client.address(), client.is_local()), ((host, port), is_local), "{url}");
    };
    check("http://localhost:8080", "localhost", 8080, true);
    check("http://127.0.0.2/llm", "127.0.0.2", 80, true);
    check("http://[::1]:9", "::1", 9, true);
    check("http://10.0.0.1:8080", "10.0.0.1", 8080, false);
    check("http://llm.example", "llm.example", 80, false);
}
