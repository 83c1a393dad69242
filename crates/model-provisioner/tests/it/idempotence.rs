use std::fs;

use catalog_core::{Catalog, CatalogLimits, EntryState, Precondition, testing::MemoryStore};
use model_provisioner::Provisioner;

use crate::world::{Index, REFERENCE, World, digest, model};

/// Verifies: ORCH-185
#[tokio::test]
async fn a_model_that_is_there_costs_no_network() {
    let bytes = model("one");
    let index = Index::with_model(&bytes).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let entry = world.ensure(REFERENCE, None).await.unwrap();
    let asked = index.asked().len();
    assert_eq!(world.ensure(REFERENCE, None).await.unwrap(), entry);
    assert_eq!(world.ensure(REFERENCE, Some(digest(&bytes))).await.unwrap(), entry);
    let world = world.restarted(|config| config.policy.enabled = false).await;
    assert_eq!(world.ensure_as(REFERENCE, None, &["tiny"]).await.unwrap(), entry);
    assert_eq!(world.catalog.resolve("tiny").unwrap(), entry);
    assert_eq!(index.asked().len(), asked);
}

#[tokio::test]
async fn a_cache_outlives_its_catalog_and_a_damaged_copy_is_fetched_again() {
    let bytes = model("one");
    let index = Index::with_model(&bytes).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let expected = Some(digest(&bytes));
    let entry = world.ensure(REFERENCE, expected).await.unwrap();
    let asked = index.asked().len();
    let path = &entry.files[0].path;

    let forgetful = async || {
        let store = std::sync::Arc::new(MemoryStore::default());
        let catalog = Catalog::open(store, CatalogLimits::default()).await.unwrap();
        let provisioner = Provisioner::new(world.config.clone(), std::sync::Arc::new(catalog));
        provisioner.ensure(&REFERENCE.parse().unwrap(), expected, &[], &|_| {}).await.unwrap()
    };
    assert_eq!(*forgetful().await, *entry);
    assert_eq!(index.asked().len(), asked, "what lies in the cache is verified, not fetched");

    fs::remove_file(path).unwrap();
    fs::write(path, "damaged").unwrap();
    assert_eq!(forgetful().await.id, entry.id);
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert_eq!(index.asked().len(), asked + 2);
}

#[tokio::test]
async fn a_retired_model_stays_retired() {
    let index = Index::with_model(&model("one")).await;
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let entry = world.ensure(REFERENCE, None).await.unwrap();
    world
        .catalog
        .set_state(&entry.id, EntryState::Retired, None, &Precondition::Any)
        .await
        .unwrap();
    let again = world.ensure_as(REFERENCE, None, &["tiny"]).await.unwrap();
    assert_eq!(again.state, EntryState::Retired);
    assert!(world.catalog.resolve("tiny").is_err());
}
