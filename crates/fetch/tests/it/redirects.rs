use camino_tempfile::tempdir;
use fetch::{Authority, Credentials, EgressPolicy, FetchError, FileRequest, Refusal};

use crate::server::{TestServer, fetcher, redirect, request, text};

async fn refusal(fetcher: &fetch::Fetcher, server: &TestServer) -> Refusal {
    let dir = tempdir().unwrap();
    let target = dir.path().join("file");
    let error = fetcher.file(request(server.at("start"), target), &|_| {}).await.unwrap_err();
    match &*error {
        FetchError::Refused { refusal, .. } => *refusal,
        other => panic!("expected a refusal, got {other}"),
    }
}

/// Verifies: ORCH-193
#[tokio::test]
async fn a_redirect_to_an_address_that_is_not_public_is_refused() {
    for to in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.31.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[ff02::1]/",
        "https://localhost/", // refused after it was resolved
    ] {
        let server = TestServer::start(move |_| redirect(to)).await;
        assert_eq!(refusal(&server.fetcher(), &server).await, Refusal::NotPublic, "{to}");
        assert_eq!(server.asked().len(), 1, "{to}");
    }
}

/// Verifies: ORCH-193
#[tokio::test]
async fn every_hop_of_a_redirect_passes_the_policy() {
    let other = TestServer::start(|_| text(200, "secret")).await;
    let to_other = other.url.to_string();
    let server = TestServer::start(move |_| redirect(&to_other)).await;
    assert_eq!(refusal(&server.fetcher(), &server).await, Refusal::PlainHttp);
    assert!(other.asked().is_empty(), "another port of a listed host is not listed");

    for (to, expected) in [
        ("file:///etc/passwd", Refusal::NotHttp),
        ("http://example.com/", Refusal::PlainHttp),
        ("https://user:secret@example.com/", Refusal::CredentialsInUrl),
        ("https://example.com/", Refusal::NotAllowed),
    ] {
        let server = TestServer::start(move |_| redirect(to)).await;
        let allowed_hosts = Some(vec!["files.example.com".to_owned()]);
        let fetcher = fetcher(EgressPolicy { allowed_hosts, ..server.policy() });
        assert_eq!(refusal(&fetcher, &server).await, expected, "{to}");
    }
}

/// Verifies: ORCH-193
#[tokio::test]
async fn a_listed_name_is_listed_with_its_port_only() {
    let server = TestServer::start(|_| redirect("https://localhost:1/")).await;
    let mut policy = server.policy();
    policy.listed.push("localhost:8443".parse().unwrap());
    assert_eq!(refusal(&fetcher(policy), &server).await, Refusal::OtherPort);
}

/// Verifies: ORCH-193
#[tokio::test]
async fn credentials_go_to_their_own_origin_only() {
    let mirror = TestServer::start(|_| text(200, "bytes")).await;
    let to_mirror = mirror.at("file").to_string();
    let server = TestServer::start(move |asked| match asked.path.as_str() {
        "/start" => redirect("/second"),
        _ => redirect(&to_mirror),
    })
    .await;
    let mut policy = server.policy();
    policy.listed.push(mirror.authority());
    let mut url = server.at("start");
    url.set_username("me").unwrap();
    url.set_password(Some("s%2Fcret")).unwrap();
    let credentials = Credentials::take_from(&mut url);
    assert_eq!(url, server.at("start"), "the URL has none any more");
    assert!(!format!("{credentials:?}").contains("cret"), "they are never shown");

    let dir = tempdir().unwrap();
    let request = FileRequest { credentials, ..request(url, dir.path().join("file")) };
    fetcher(policy).file(request, &|_| {}).await.unwrap();
    let sent = |server: &TestServer| -> Vec<Option<String>> {
        server.asked().iter().map(|a| a.header("authorization").map(str::to_owned)).collect()
    };
    let basic = Some("Basic bWU6cy9jcmV0".to_owned()); // me:s/cret
    assert_eq!(sent(&server), [basic.clone(), basic]);
    assert_eq!(sent(&mirror), [None]);
}

/// Verifies: ORCH-193
#[tokio::test]
async fn redirects_in_a_circle_end() {
    let server = TestServer::start(|asked| match asked.path.as_str() {
        "/start" => redirect("/again"),
        _ => redirect("/start"),
    })
    .await;
    let dir = tempdir().unwrap();
    let error = server
        .fetcher()
        .file(request(server.at("start"), dir.path().join("file")), &|_| {})
        .await
        .unwrap_err();
    assert!(matches!(*error, FetchError::TooManyRedirects { limit: 5, .. }), "{error}");
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn a_host_that_a_page_links_to_can_be_listed_for_a_while() {
    let mirror = TestServer::start(|_| text(200, "bytes")).await;
    let fetcher =
        fetcher(EgressPolicy { allow_plain_http_for_listed: true, ..EgressPolicy::default() });
    let dir = tempdir().unwrap();
    let ask = || request(mirror.at("file"), dir.path().join("file"));
    assert!(fetcher.file(ask(), &|_| {}).await.is_err());
    let listing = fetcher.also_listing(Authority::of(&mirror.url)).unwrap();
    listing.file(ask(), &|_| {}).await.unwrap();
    assert!(fetcher.file(ask(), &|_| {}).await.is_err(), "for others it stays unlisted");
}
