use std::{fs, os::unix::fs::symlink};

use catalog_core::{CatalogError, CatalogId, ResolveError, VerifyResult};
use model_provisioner::{ProvisionError, Untrusted};

use crate::world::{Outcome, World, digest, model, untrusted};

fn is_outside(outcome: &Outcome) -> bool {
    matches!(**outcome.as_ref().unwrap_err(), ProvisionError::OutsideRoots { .. })
}

/// Verifies: ORCH-181, ORCH-183
#[tokio::test]
async fn a_file_is_used_where_it_lies() {
    let world = World::new(&[]).await;
    let path = world.model_file("tiny.gguf", &model("one"));
    let expected = digest(&model("one"));
    let entry = world.ensure(&format!("file:{path}"), Some(expected)).await.unwrap();
    assert_eq!(entry.id, CatalogId::Digest(expected));
    assert_eq!(entry.files[0].path, path);
    assert_eq!(entry.verify_result, VerifyResult::Pass);
    assert!(world.cached_files().is_empty(), "nothing is copied");
}

/// Verifies: ORCH-189
#[tokio::test]
async fn a_file_outside_the_roots_is_refused_through_links_too() {
    let world = World::new(&[]).await;
    let root = world.config.model_roots[0].clone();
    let outside = root.parent().unwrap().join("outside.gguf");
    fs::write(&outside, model("one")).unwrap();
    symlink(&outside, root.join("link.gguf")).unwrap();
    symlink(root.parent().unwrap(), root.join("folder")).unwrap();
    let beside = root.parent().unwrap().join("models-of-others");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("a.gguf"), model("one")).unwrap();
    for path in [
        outside,
        root.join("link.gguf"),
        root.join("folder/outside.gguf"),
        beside.join("a.gguf"),
        "/etc/passwd".into(),
        "/nonexistent/file".into(),
    ] {
        let outcome = world.ensure(&format!("file:{path}"), None).await;
        assert!(is_outside(&outcome), "{path}: {outcome:?}");
    }
    assert!(world.catalog.list().is_empty());
}

#[tokio::test]
async fn a_link_inside_the_roots_and_a_root_that_is_a_link_are_followed() {
    let world = World::new(&[]).await;
    let path = world.model_file("tiny.gguf", &model("one"));
    let root = world.config.model_roots[0].clone();
    symlink(&path, root.join("link.gguf")).unwrap();
    let other_root = root.parent().unwrap().join("linked-root");
    symlink(&root, &other_root).unwrap();
    let entry = world.ensure(&format!("file:{root}/link.gguf"), None).await.unwrap();
    assert_eq!(entry.files[0].path, path, "the entry names the file itself");
    let world = world.restarted(|config| config.model_roots = vec![other_root.clone()]).await;
    world.ensure(&format!("file:{other_root}/tiny.gguf"), None).await.unwrap();
}

/// Verifies: ORCH-189
#[tokio::test]
async fn a_root_that_is_no_longer_configured_is_no_longer_used() {
    let world = World::new(&[]).await;
    let reference = format!("file:{}", world.model_file("tiny.gguf", &model("one")));
    world.ensure(&reference, None).await.unwrap();
    let world = world.restarted(|config| config.model_roots.clear()).await;
    assert!(is_outside(&world.ensure(&reference, None).await));
}

#[tokio::test]
async fn what_is_no_readable_file_is_named() {
    let world = World::new(&[]).await;
    let root = world.config.model_roots[0].clone();
    fs::create_dir(root.join("folder.gguf")).unwrap();
    for name in ["folder.gguf", "absent.gguf"] {
        let outcome = world.ensure(&format!("file:{root}/{name}"), None).await;
        let error = outcome.unwrap_err();
        assert!(matches!(*error, ProvisionError::File { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// Verifies: ORCH-166
#[tokio::test]
async fn a_hostile_file_is_refused_and_left_where_it_is() {
    let world = World::new(&[]).await;
    let path = world.model_file("evil.gguf", &model("one")[..100]);
    let outcome = world.ensure(&format!("file:{path}"), None).await;
    assert!(matches!(untrusted(&outcome), Untrusted::Header { .. }), "{outcome:?}");
    assert!(path.exists());
    assert!(world.catalog.list().is_empty());
}

#[tokio::test]
async fn a_file_with_another_digest_is_refused_and_left_where_it_is() {
    let world = World::new(&[]).await;
    let path = world.model_file("tiny.gguf", &model("evil"));
    let outcome = world.ensure(&format!("file:{path}"), Some(digest(&model("good")))).await;
    assert!(matches!(untrusted(&outcome), Untrusted::Digest { .. }), "{outcome:?}");
    assert!(path.exists());
}

/// Verifies: ORCH-187
#[tokio::test]
async fn a_file_replaced_under_its_entry_is_out_of_service_until_verified_again() {
    let world = World::new(&[]).await;
    let path = world.model_file("tiny.gguf", &model("one"));
    let reference = format!("file:{path}");
    let one = world.ensure_as(&reference, None, &["tiny"]).await.unwrap();
    fs::remove_file(&path).unwrap();
    world.model_file("tiny.gguf", &model("another"));

    let found = world.catalog.recheck_unchanged(&one.id).await;
    let out_of_service = CatalogError::Resolve(ResolveError::OutOfService {
        id: one.id.clone(),
        reason: "its file tiny.gguf changed since it was verified".to_owned(),
    });
    assert_eq!(found.unwrap_err().to_string(), out_of_service.to_string());
    assert!(world.catalog.resolve("tiny").is_err());

    let other = world.ensure_as(&reference, None, &["tiny"]).await.unwrap();
    assert_eq!(other.id, CatalogId::Digest(digest(&model("another"))));
    assert_eq!(world.catalog.resolve("tiny").unwrap().id, other.id, "the name has moved");
    assert!(world.catalog.resolve(&one.id.to_string()).is_err(), "the old content is gone");

    fs::remove_file(&path).unwrap();
    world.model_file("tiny.gguf", &model("one"));
    let again = world.ensure(&reference, Some(digest(&model("one")))).await.unwrap();
    assert_eq!(again.id, one.id);
    assert!(world.catalog.resolve(&one.id.to_string()).is_ok(), "verified, it is back in service");
}
