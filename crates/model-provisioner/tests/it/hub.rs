use fetch::Authority;
use model_provisioner::{Hub, ProvisionError, Untrusted};

use catalog_core::VerifyResult;

use crate::world::{Index, Outcome, World, answer, digest, model, untrusted};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const API: &str = "/api/models/acme/tiny/revision/main";
const FILE: &str = "/acme/tiny/resolve/0123456789abcdef0123456789abcdef01234567/q8/tiny.gguf";

/// A provisioner that takes `server` for the hub.
async fn world(server: &Index, token: Option<&str>) -> World {
    let url = server.url.join("/").unwrap();
    World::new(&[])
        .await
        .restarted(|config| {
            config.policy.listed.push(Authority::of(&url).unwrap());
            config.hub = Hub { url, token: token.map(str::to_owned) };
        })
        .await
}

/// A hub with one repository, of which it tells the large files' digests.
async fn hub(files: &[(&str, Option<&[u8]>)]) -> Index {
    let server = Index::start().await;
    let siblings = files.iter().map(|(name, bytes)| match bytes {
        Some(bytes) => {
            let sha256 = digest(bytes).to_hex();
            format!(r#"{{"rfilename": "{name}", "size": 1, "lfs": {{"sha256": "{sha256}", "size": 1}}}}"#)
        }
        None => format!(r#"{{"rfilename": "{name}"}}"#),
    });
    let siblings = siblings.collect::<Vec<_>>().join(",");
    let repository =
        format!(r#"{{"id": "acme/tiny", "sha": "{COMMIT}", "siblings": [{siblings}]}}"#);
    server.put(API, move |_| answer(200, "application/json", &repository));
    server
}

fn reason(outcome: &Outcome) -> &str {
    match outcome.as_ref().unwrap_err().as_ref() {
        ProvisionError::NotFound { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Verifies: ORCH-183
#[tokio::test]
async fn a_moving_revision_is_resolved_and_recorded() {
    let bytes = model("one");
    let server = hub(&[("README.md", None), ("q8/tiny.gguf", Some(&bytes))]).await;
    server.put_file(FILE, &bytes);
    let world = world(&server, None).await;
    let entry = world.ensure("hf:acme/tiny", None).await.unwrap();
    assert_eq!(entry.id.digest(), Some(digest(&bytes)));
    assert_eq!(entry.source_ref, "hf:acme/tiny");
    assert_eq!(entry.resolved_ref, Some(format!("hf:acme/tiny/q8/tiny.gguf@{COMMIT}")));
    assert_eq!(entry.verify_result, VerifyResult::Warn, "the hub's own digest is no expectation");
    assert_eq!(server.asked(), [API, FILE]);
    world.ensure("hf:acme/tiny", None).await.unwrap();
    assert_eq!(server.asked().len(), 2, "a known model costs no network");
}

/// Verifies: ORCH-183
#[tokio::test]
async fn a_revision_and_a_file_can_be_named() {
    let bytes = model("one");
    let server = hub(&[]).await;
    let other = model("two");
    let sha256 = digest(&bytes).to_hex();
    let repository = format!(
        r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "other.gguf"}},
            {{"rfilename": "q8/tiny.gguf", "lfs": {{"sha256": "{sha256}"}}}}]}}"#
    );
    let revision = "/api/models/acme/tiny/revision/refs%2Fpr%2F1";
    server.put(revision, move |_| answer(200, "application/json", &repository));
    server.put_file(FILE, &bytes);
    let world = world(&server, None).await;
    let expected = Some(digest(&bytes));
    let entry = world.ensure("hf:acme/tiny/q8/tiny.gguf@refs/pr/1", expected).await.unwrap();
    assert_eq!(entry.verify_result, VerifyResult::Pass);
    assert_eq!(server.asked(), [revision, FILE]);
    // Another digest than the hub tells is noticed before a byte is fetched.
    let wrong = world.ensure("hf:acme/tiny/q8/tiny.gguf@refs/pr/1", Some(digest(&other))).await;
    assert!(matches!(untrusted(&wrong), Untrusted::Digest { .. }));
    assert_eq!(server.asked().len(), 3);
}

/// Verifies: ORCH-185
#[tokio::test]
async fn bytes_that_are_not_those_the_hub_tells_are_deleted() {
    let bytes = model("one");
    let server = hub(&[("q8/tiny.gguf", Some(&bytes))]).await;
    server.put_file(FILE, &model("two"));
    let world = world(&server, None).await;
    let outcome = world.ensure("hf:acme/tiny", None).await;
    assert!(matches!(untrusted(&outcome), Untrusted::FetchedDigest { .. }));
    assert_eq!(world.cached_files(), [""; 0]);
}

/// Verifies: ORCH-183
#[tokio::test]
async fn what_the_hub_does_not_have_is_said_plainly() {
    let bytes = model("one");
    let several = hub(&[("a.gguf", Some(&bytes)), ("b.gguf", Some(&bytes))]).await;
    let world_of_several = world(&several, None).await;
    assert!(
        reason(&world_of_several.ensure("hf:acme/tiny", None).await).contains("several GGUF files")
    );
    assert!(
        reason(&world_of_several.ensure("hf:acme/tiny/c.gguf", None).await)
            .contains("no such file")
    );
    let empty = hub(&[("README.md", None)]).await;
    assert!(
        reason(&world(&empty, None).await.ensure("hf:acme/tiny", None).await)
            .contains("no GGUF file")
    );
    assert!(
        reason(&world(&empty, None).await.ensure("hf:acme/none", None).await)
            .contains("no such repository")
    );
    empty.put(API, |_| answer(401, "text/plain", "who are you"));
    assert!(
        reason(&world(&empty, None).await.ensure("hf:acme/tiny", None).await).contains("token")
    );
    empty.put(API, |_| answer(200, "application/json", r#"{"sha": "main", "siblings": []}"#));
    assert!(
        reason(&world(&empty, None).await.ensure("hf:acme/tiny", None).await).contains("no commit")
    );
    empty.put(API, |_| answer(200, "text/html", "<html>"));
    assert!(
        reason(&world(&empty, None).await.ensure("hf:acme/tiny", None).await)
            .contains("cannot be read")
    );
}

/// Verifies: ORCH-193
#[tokio::test]
async fn the_token_stays_with_the_hub() {
    let bytes = model("one");
    let server = hub(&[("q8/tiny.gguf", Some(&bytes))]).await;
    let store = Index::start().await;
    store.put_file("/blob", &bytes);
    let blob = store.url.join("/blob").unwrap().to_string();
    server.put(FILE, move |_| {
        let mut redirect = answer(302, "text/plain", "");
        redirect.headers_mut().insert("location", blob.parse().unwrap());
        redirect
    });
    let world = world(&server, Some("hf_t0ken")).await;
    let store_place = Authority::of(&store.url).unwrap();
    let world = world.restarted(|config| config.policy.listed.push(store_place)).await;
    world.ensure("hf:acme/tiny", None).await.unwrap();
    assert_eq!(server.authorizations(), vec![Some("Bearer hf_t0ken".to_owned()); 2]);
    assert_eq!(store.authorizations(), [None]);
    assert!(!format!("{:?}", world.config.hub).contains("t0ken"));
}
