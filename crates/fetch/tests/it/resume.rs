use std::{
    convert::Infallible,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    http::{Response, response::Builder},
};
use bytes::Bytes;
use camino_tempfile::tempdir;
use fetch::{FetchError, FileRequest, Transferred};
use futures_util::{StreamExt as _, stream};

use crate::server::{Asked, TestServer, content, cut_body, request, sha256, text};

/// A file on a server that breaks connections off.
#[derive(Clone)]
struct Flaky {
    bytes: Arc<Vec<u8>>,
    etag: Option<&'static str>,
    ranges: bool,
    /// How many bytes each answer sends before it breaks off; those after the last are whole.
    cuts: Vec<usize>,
    answers: Arc<AtomicUsize>,
}

impl Flaky {
    fn new(len: usize, cuts: &[usize]) -> Self {
        Self {
            bytes: Arc::new(content(len)),
            etag: Some("\"v1\""),
            ranges: true,
            cuts: cuts.to_vec(),
            answers: Arc::default(),
        }
    }

    fn answer(&self, asked: &Asked) -> Response<Body> {
        let number = self.answers.fetch_add(1, Ordering::SeqCst);
        let current = asked.header("if-range").is_none_or(|tag| Some(tag) == self.etag);
        let start = asked.range_start().filter(|_| self.ranges && current);
        let rest = &self.bytes[start.unwrap_or(0)..];
        let mut response = self.head(start).header("content-length", rest.len());
        if let Some(tag) = self.etag {
            response = response.header("etag", tag);
        }
        let body = match self.cuts.get(number) {
            Some(sent) => cut_body(rest, *sent),
            None => Body::from(rest.to_vec()),
        };
        response.body(body).unwrap()
    }

    fn head(&self, start: Option<usize>) -> Builder {
        let total = self.bytes.len();
        match start {
            Some(start) => Response::builder()
                .status(206)
                .header("content-range", format!("bytes {start}-{}/{total}", total - 1)),
            None => Response::builder().status(200),
        }
    }
}

async fn serve(file: &Flaky) -> TestServer {
    let file = file.clone();
    TestServer::start(move |asked| file.answer(asked)).await
}

/// Fetches the file and gives the progress that was seen.
async fn check_fetched(
    server: &TestServer,
    file: &Flaky,
    change: impl FnOnce(&mut FileRequest),
) -> Vec<Transferred> {
    let dir = tempdir().unwrap();
    let target = dir.path().join("file");
    let mut request = request(server.at("file"), target.clone());
    change(&mut request);
    let seen = Mutex::new(Vec::new());
    let fetched =
        server.fetcher().file(request, &|now| seen.lock().unwrap().push(now)).await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), *file.bytes);
    assert_eq!(fetched.sha256, sha256(&file.bytes));
    assert_eq!(fetched.size_bytes, file.bytes.len() as u64);
    let left: Vec<_> = dir.path().read_dir_utf8().unwrap().collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    seen.into_inner().unwrap()
}

/// Verifies: ORCH-185
#[tokio::test]
async fn a_download_goes_on_where_it_was_cut_however_often() {
    let file = Flaky::new(3_000_000, &[1_500_000, 10, 1_000_000]);
    let server = serve(&file).await;
    let seen = check_fetched(&server, &file, |_| {}).await;

    let starts: Vec<_> = server.asked().iter().map(Asked::range_start).collect();
    assert_eq!(starts.len(), 4);
    assert_eq!(starts[0], None);
    assert!(starts[1] > Some(0) && starts[1] <= Some(1_500_000), "{starts:?}");
    assert!(starts.is_sorted() && starts[3] > starts[1], "{starts:?}");
    assert_eq!(server.asked()[1].header("if-range"), Some("\"v1\""));
    assert!(seen.is_sorted_by_key(|now| now.bytes_done), "progress never goes back");
    let last = Transferred { bytes_done: 3_000_000, bytes_total: Some(3_000_000) };
    assert_eq!(seen.last(), Some(&last));
}

/// Verifies: ORCH-185
#[tokio::test]
async fn what_an_earlier_process_left_is_taken_up() {
    let file = Flaky::new(2_000_000, &[1_200_000]);
    let dir = tempdir().unwrap();
    let target = dir.path().join("file");
    let server = serve(&file).await;
    let once = fetch::FetchLimits { retries_max: 0, ..Default::default() };
    server.fetcher(); // installs the crypto provider
    let first = fetch::Fetcher::new(server.policy(), once).unwrap();
    let broken = first.file(request(server.at("file"), target.clone()), &|_| {}).await.unwrap_err();
    assert!(broken.is_transient(), "{broken}");
    assert!(!target.exists());

    let again = server.fetcher().file(request(server.at("file"), target.clone()), &|_| {}).await;
    assert_eq!(again.unwrap().sha256, sha256(&file.bytes));
    assert!(server.asked()[1].range_start() > Some(0));
}

#[tokio::test]
async fn a_server_without_ranges_sends_the_file_again() {
    let file = Flaky { ranges: false, ..Flaky::new(2_000_000, &[1_200_000, 1_400_000]) };
    check_fetched(&serve(&file).await, &file, |_| {}).await;
}

#[tokio::test]
async fn without_a_validator_only_an_expected_digest_allows_to_resume() {
    let file = Flaky { etag: None, ..Flaky::new(2_000_000, &[1_200_000]) };
    let server = serve(&file).await;
    check_fetched(&server, &file, |_| {}).await;
    assert_eq!(server.asked()[1].range_start(), None);

    let file = Flaky { etag: None, ..Flaky::new(2_000_000, &[1_200_000]) };
    let server = serve(&file).await;
    let expected = sha256(&file.bytes);
    check_fetched(&server, &file, |request| request.expected_sha256 = Some(expected)).await;
    assert!(server.asked()[1].range_start() > Some(0));
}

#[tokio::test]
async fn a_file_that_changed_on_the_server_is_fetched_from_its_beginning() {
    let dir = tempdir().unwrap();
    let target = dir.path().join("file");
    let old = Flaky::new(1_000_000, &[600_000]);
    let mut new = Flaky::new(900_000, &[]);
    new.etag = Some("\"v2\"");
    let answered = {
        let (old, new) = (old.clone(), new.clone());
        move |asked: &Asked| {
            let first = old.answers.load(Ordering::SeqCst) == 0;
            if first { old.answer(asked) } else { new.answer(asked) }
        }
    };
    let server = TestServer::start(answered).await;
    server.fetcher().file(request(server.at("file"), target.clone()), &|_| {}).await.unwrap();
    assert_eq!(fs::read(target).unwrap(), *new.bytes);
}

/// Verifies: ORCH-185
#[tokio::test]
async fn a_stale_part_is_thrown_away_when_the_digest_is_wrong() {
    let dir = tempdir().unwrap();
    let target = dir.path().join("file");
    let file = Flaky { etag: None, ..Flaky::new(1_000_000, &[600_000]) };
    let server = serve(&file).await;
    let once = fetch::FetchLimits { retries_max: 0, ..Default::default() };
    server.fetcher();
    let first = fetch::Fetcher::new(server.policy(), once).unwrap();
    first.file(request(server.at("file"), target.clone()), &|_| {}).await.unwrap_err();
    let part = dir.path().join("file.partial");
    let mut bytes = fs::read(&part).unwrap();
    bytes[0] ^= 1;
    fs::write(part, bytes).unwrap();

    let expected_sha256 = Some(sha256(&file.bytes));
    let request = FileRequest { expected_sha256, ..request(server.at("file"), target.clone()) };
    server.fetcher().file(request, &|_| {}).await.unwrap();
    assert_eq!(fs::read(target).unwrap(), *file.bytes);
}

/// Verifies: ORCH-185
#[tokio::test]
async fn pieces_of_different_files_are_thrown_away_once() {
    let dir = tempdir().unwrap();
    let target = dir.path().join("file");
    let old = Flaky { etag: None, ..Flaky::new(1_000_000, &[600_000]) };
    let mut new = old.clone();
    new.bytes = Arc::new(content(1_000_001)[1..].to_vec());
    new.cuts.clear();
    let served = new.clone();
    let server = TestServer::start(move |asked| {
        let first = old.answers.load(Ordering::SeqCst) == 0;
        if first { old.answer(asked) } else { served.answer(asked) }
    })
    .await;
    let expected_sha256 = Some(sha256(&new.bytes));
    let asked = FileRequest { expected_sha256, ..request(server.at("file"), target.clone()) };
    server.fetcher().file(asked, &|_| {}).await.unwrap();
    assert_eq!(fs::read(target).unwrap(), *new.bytes);
    let starts: Vec<_> = server.asked().iter().map(Asked::range_start).collect();
    assert!(starts[1] > Some(0) && starts[2].is_none() && starts.len() == 3, "{starts:?}");
}

#[tokio::test]
async fn a_part_longer_than_the_file_is_thrown_away() {
    let dir = tempdir().unwrap();
    let target = dir.path().join("file");
    let file = Flaky::new(1_000_000, &[600_000]);
    let served = file.clone();
    let server = TestServer::start(move |asked| match asked.range_start() {
        Some(_) => text(416, ""),
        None => served.answer(asked),
    })
    .await;
    server.fetcher().file(request(server.at("file"), target.clone()), &|_| {}).await.unwrap();
    assert_eq!(fs::read(target).unwrap(), *file.bytes);
}

#[tokio::test]
async fn a_server_that_never_gets_further_is_given_up() {
    let file = Flaky::new(1_000_000, &[0; 100]);
    let server = serve(&file).await;
    let dir = tempdir().unwrap();
    let request = request(server.at("file"), dir.path().join("file"));
    let error = server.fetcher().file(request, &|_| {}).await.unwrap_err();
    assert!(matches!(*error, FetchError::Transport { .. }), "{error}");
    assert_eq!(server.asked().len(), 6, "one try and five more");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_asked_again() {
    let file = Flaky::new(1_000_000, &[]);
    let served = file.clone();
    let server = TestServer::start(move |asked| match asked.range_start() {
        None => {
            let start = Bytes::copy_from_slice(&served.bytes[..600_000]);
            let silent = stream::iter([Ok::<_, Infallible>(start)]).chain(stream::pending());
            let head = served.head(None).header("content-length", served.bytes.len());
            head.header("etag", "\"v1\"").body(Body::from_stream(silent)).unwrap()
        }
        Some(_) => served.answer(asked),
    })
    .await;
    server.fetcher(); // installs the crypto provider
    let limits = fetch::FetchLimits { idle_timeout_ms: 200, ..Default::default() };
    let fetcher = fetch::Fetcher::new(server.policy(), limits).unwrap();
    let dir = tempdir().unwrap();
    let asked = request(server.at("file"), dir.path().join("file"));
    assert_eq!(fetcher.file(asked, &|_| {}).await.unwrap().sha256, sha256(&file.bytes));
}

#[tokio::test]
async fn a_file_that_another_process_fetches_is_left_alone() {
    let dir = tempdir().unwrap();
    let other = fs::File::create(dir.path().join("file.partial")).unwrap();
    other.lock().unwrap();
    let server = TestServer::start(|_| text(200, "x")).await;
    let ask = || request(server.at("file"), dir.path().join("file"));
    let error = server.fetcher().file(ask(), &|_| {}).await.unwrap_err();
    assert!(matches!(*error, FetchError::Busy { .. }), "{error}");
    assert!(server.asked().is_empty());
    other.unlock().unwrap();
    server.fetcher().file(ask(), &|_| {}).await.unwrap();
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_and_a_refusing_one_is_not() {
    let dir = tempdir().unwrap();
    let calls = AtomicUsize::new(0);
    let server = TestServer::start(move |asked| match asked.path.as_str() {
        "/busy" if calls.fetch_add(1, Ordering::SeqCst) < 2 => text(503, ""),
        "/busy" => text(200, "ok"),
        _ => text(403, ""),
    })
    .await;
    let fetcher = server.fetcher();
    fetcher.file(request(server.at("busy"), dir.path().join("a")), &|_| {}).await.unwrap();
    let error = fetcher.file(request(server.at("no"), dir.path().join("b")), &|_| {}).await;
    assert!(matches!(*error.unwrap_err(), FetchError::Status { status: 403, .. }));
    assert_eq!(server.asked().len(), 4);
}
