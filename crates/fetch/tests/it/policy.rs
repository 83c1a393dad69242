use camino_tempfile::tempdir;
use fetch::{EgressPolicy, FetchError, Refusal};

use crate::server::{TestServer, fetcher, request, text};

async fn check_refused(policy: EgressPolicy, server: &TestServer, expected: Refusal) {
    let dir = tempdir().unwrap();
    let asked = request(server.at("a/file?token=secret"), dir.path().join("file"));
    let error = fetcher(policy).file(asked, &|_| {}).await.unwrap_err();
    let FetchError::Refused { refusal, .. } = &*error else { panic!("not refused: {error}") };
    assert_eq!(*refusal, expected);
    assert!(error.to_string().contains("/a/file"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(server.asked().is_empty(), "nothing was sent");
}

/// Verifies: ORCH-193
#[tokio::test]
async fn nothing_is_sent_where_downloads_are_off() {
    let server = TestServer::start(|_| text(200, "")).await;
    let policy = EgressPolicy { enabled: false, ..server.policy() };
    check_refused(policy, &server, Refusal::Disabled).await;
}

/// Verifies: ORCH-193
#[tokio::test]
async fn plain_http_needs_a_listed_host_and_the_permission() {
    let server = TestServer::start(|_| text(200, "")).await;
    let policy = EgressPolicy { allow_plain_http_for_listed: false, ..server.policy() };
    check_refused(policy, &server, Refusal::PlainHttp).await;
    let policy = EgressPolicy { listed: Vec::new(), ..server.policy() };
    check_refused(policy, &server, Refusal::PlainHttp).await;
}

/// Verifies: ORCH-193
#[tokio::test]
async fn behind_a_proxy_only_hosts_that_somebody_named_are_reached() {
    let proxy = TestServer::start(|_| text(200, "through the proxy")).await;
    let policy = EgressPolicy {
        proxy: Some(proxy.url.clone()),
        allow_plain_http_for_listed: true,
        ..EgressPolicy::default()
    };
    let dir = tempdir().unwrap();
    let asked = |url: &str| request(url.parse().unwrap(), dir.path().join("file"));
    let error = fetcher(policy.clone()).file(asked("https://files.example.com/a"), &|_| {}).await;
    let error = error.unwrap_err();
    let refusal = Refusal::UncheckedBehindProxy;
    assert!(matches!(&*error, FetchError::Refused { refusal: r, .. } if *r == refusal), "{error}");
    assert!(proxy.asked().is_empty());

    let listed = vec!["mirror.example.com:80".parse().unwrap()];
    let fetcher = fetcher(EgressPolicy { listed, ..policy });
    fetcher.file(asked("http://mirror.example.com/a"), &|_| {}).await.unwrap();
    assert_eq!(proxy.asked().len(), 1, "the proxy was asked, and no name was resolved here");
}

/// Verifies: ORCH-193
#[test]
fn credentials_of_a_proxy_are_not_shown() {
    let proxy = Some("http://me:secret@proxy.example:3128/".parse().unwrap());
    let shown = format!("{:?}", EgressPolicy { proxy, ..EgressPolicy::default() });
    assert!(shown.contains("proxy.example:3128") && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn certificates_that_are_none_are_refused() {
    fetcher(EgressPolicy::default());
    let broken = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n".to_vec();
    let policy = EgressPolicy { extra_ca_pem: vec![broken], ..EgressPolicy::default() };
    let refused = fetch::Fetcher::new(policy, fetch::FetchLimits::default());
    assert!(matches!(refused, Err(FetchError::Client { .. })));
}
