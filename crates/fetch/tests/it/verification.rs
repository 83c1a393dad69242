use std::fs;

use axum::{body::Body, http::Response};
use camino_tempfile::tempdir;
use fetch::{EgressPolicy, FetchError, FileRequest};
use futures_util::stream;

use crate::server::{TestServer, fetcher, request, sha256, text};

/// Verifies: ORCH-185
#[tokio::test]
async fn other_bytes_than_expected_are_deleted() {
    let dir = tempdir().unwrap();
    let server = TestServer::start(|_| text(200, "evil")).await;
    let target = dir.path().join("file");
    let expected_sha256 = Some(sha256(b"good"));
    let request = FileRequest { expected_sha256, ..request(server.at("file"), target) };
    let error = server.fetcher().file(request, &|_| {}).await.unwrap_err();
    assert!(matches!(*error, FetchError::DigestMismatch { .. }), "{error}");
    assert_eq!(dir.path().read_dir_utf8().unwrap().count(), 0, "nothing is left");
    assert_eq!(server.asked().len(), 1, "wrong bytes are not asked for again");
}

/// Verifies: ORCH-185
#[tokio::test]
async fn a_file_over_the_limit_is_refused_before_it_is_read() {
    let dir = tempdir().unwrap();
    let server = TestServer::start(|_| text(200, &"x".repeat(1001))).await;
    for (policy_max, own_max) in [(1000, None), (5000, Some(1000))] {
        let fetcher = fetcher(EgressPolicy { max_bytes: policy_max, ..server.policy() });
        let target = dir.path().join("file");
        let request =
            FileRequest { max_bytes: own_max, ..request(server.at("file"), target.clone()) };
        let error = fetcher.file(request, &|_| {}).await.unwrap_err();
        assert!(matches!(*error, FetchError::TooLarge { limit_bytes: 1000, .. }), "{error}");
        assert!(!target.exists());
    }
}

/// Verifies: ORCH-185
#[tokio::test]
async fn a_file_that_hides_its_length_is_cut_off_at_the_limit() {
    let dir = tempdir().unwrap();
    let endless = || {
        let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![7_u8; 4096]));
        Response::new(Body::from_stream(chunks))
    };
    let server = TestServer::start(move |_| endless()).await;
    let fetcher = fetcher(EgressPolicy { max_bytes: 3_000_000, ..server.policy() });
    let request = request(server.at("file"), dir.path().join("file"));
    let error = fetcher.file(request, &|_| {}).await.unwrap_err();
    assert!(matches!(*error, FetchError::TooLarge { .. }), "{error}");
    let written = fs::metadata(dir.path().join("file.partial")).map_or(0, |part| part.len());
    assert!(written <= 3_000_000);
}

#[tokio::test]
async fn a_file_that_is_there_is_asked_for_again_only_where_its_digest_is_wrong() {
    let dir = tempdir().unwrap();
    let server = TestServer::start(|_| text(200, "good")).await;
    let target = dir.path().join("file");
    let expected_sha256 = Some(sha256(b"good"));
    let ask = FileRequest { expected_sha256, ..request(server.at("file"), target.clone()) };
    fs::write(&target, "good").unwrap();
    let there = server.fetcher().file(ask.clone(), &|_| {}).await.unwrap();
    assert_eq!(there.size_bytes, 4);
    assert!(server.asked().is_empty());
    fs::write(&target, "else").unwrap();
    server.fetcher().file(ask, &|_| {}).await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"good");
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_named() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("folder"), "a file where a folder should be").unwrap();
    let server = TestServer::start(|_| text(200, "x")).await;
    let request = request(server.at("file"), dir.path().join("folder/file"));
    let error = server.fetcher().file(request, &|_| {}).await.unwrap_err();
    assert!(matches!(*error, FetchError::Disk { .. }), "{error}");
    assert!(server.asked().is_empty(), "nothing is fetched that cannot be kept");
}
