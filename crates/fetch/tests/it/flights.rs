use std::{fs, sync::Mutex};

use axum::http::Response;
use camino_tempfile::tempdir;
use futures_util::future::join_all;

use crate::server::{TestServer, content, cut_body, request, text};

/// Verifies: ORCH-185
#[tokio::test]
async fn what_ten_callers_ask_for_at_once_is_fetched_once() {
    let bytes = content(3_000_000);
    let body = String::from_utf8(bytes.iter().map(|byte| b'a' + byte % 26).collect()).unwrap();
    let served = body.clone();
    let server = TestServer::start(move |_| text(200, &served)).await;
    let dir = tempdir().unwrap();
    let target = dir.path().join("file");
    let fetcher = server.fetcher();
    let seen = Mutex::new(vec![0; 10]);
    let (fetcher, seen_ref, target_ref) = (&fetcher, &seen, &target);
    let url = server.at("file");
    let callers = (0..10).map(|number| {
        let request = request(url.clone(), target_ref.clone());
        async move {
            let show = |now: fetch::Transferred| seen_ref.lock().unwrap()[number] = now.bytes_done;
            fetcher.file(request, &show).await
        }
    });
    let outcomes = join_all(callers).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap().size_bytes, 3_000_000);
    }
    assert_eq!(server.asked().len(), 1);
    assert_eq!(fs::read_to_string(&target).unwrap(), body);
    assert_eq!(*seen.lock().unwrap(), [3_000_000; 10], "everyone sees the progress");
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_stop_the_others() {
    let server = TestServer::start(|_| text(200, "bytes")).await;
    let dir = tempdir().unwrap();
    let fetcher = server.fetcher();
    let ask = || request(server.at("file"), dir.path().join("file"));
    let mut first = Box::pin(fetcher.file(ask(), &|_| {}));
    assert!(futures_util::poll!(&mut first).is_pending());
    let mut second = Box::pin(fetcher.file(ask(), &|_| {}));
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    assert_eq!(second.await.unwrap().size_bytes, 5);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn all_callers_get_the_error_and_the_next_one_tries_again() {
    let bytes = content(1000);
    let server = TestServer::start(move |asked| match asked.path.as_str() {
        "/cut" => Response::builder()
            .header("content-length", bytes.len())
            .body(cut_body(&bytes, 0))
            .unwrap(),
        _ => text(404, ""),
    })
    .await;
    let dir = tempdir().unwrap();
    let fetcher = server.fetcher();
    let ask = |path: &str| fetcher.file(request(server.at(path), dir.path().join("f")), &|_| {});
    let outcomes = join_all([ask("cut"), ask("cut"), ask("cut")]).await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(server.asked().len(), 6, "one flight of six tries");
    assert!(ask("none").await.is_err());
    assert!(ask("none").await.is_err());
    assert_eq!(server.asked().len(), 8, "an error is not kept");
}
