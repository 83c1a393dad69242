use std::sync::Arc;

use catalog_core::{
    Alias, Catalog, CatalogError, CatalogLimits, CatalogStore, Entry, EntryState, Precondition,
    ResolveError, TakenAlias,
    testing::{MemoryStore, sample_entry},
};

async fn empty() -> (Arc<dyn CatalogStore>, Catalog) {
    let store: Arc<dyn CatalogStore> = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(Arc::clone(&store), CatalogLimits::default()).await.unwrap();
    (store, catalog)
}

fn alias(name: &str) -> Alias {
    name.parse().unwrap()
}

/// Verifies: ORCH-026
#[tokio::test]
async fn a_model_is_found_by_alias_and_by_id_but_not_by_its_source() {
    let (_, catalog) = empty().await;
    let entry =
        catalog.register(sample_entry(1), &[alias("chat")], TakenAlias::Move).await.unwrap();
    assert_eq!(catalog.resolve("chat").unwrap().id, entry.id);
    assert_eq!(catalog.resolve(&entry.id.to_string()).unwrap().id, entry.id);
    for unknown in [entry.source_ref.as_str(), "other", "", "../chat"] {
        let expected = ResolveError::UnknownModel { model: unknown.to_owned() };
        assert_eq!(catalog.resolve(unknown), Err(expected));
    }
    let long = catalog.resolve(&"x".repeat(100_000)).unwrap_err();
    assert!(
        long.to_string().len() < 300,
        "an error does not repeat what it was sent at any length"
    );
}

/// Verifies: ORCH-026
#[tokio::test]
async fn a_retired_model_takes_no_new_tasks() {
    let (_, catalog) = empty().await;
    let entry =
        catalog.register(sample_entry(1), &[alias("chat")], TakenAlias::Move).await.unwrap();
    catalog.set_state(&entry.id, EntryState::Retired, None, &Precondition::Any).await.unwrap();
    assert_eq!(catalog.resolve("chat"), Err(ResolveError::Retired { id: entry.id.clone() }));
    catalog.register(sample_entry(1), &[], TakenAlias::Move).await.unwrap();
    assert!(catalog.resolve("chat").is_err(), "verifying it again does not bring it back");
    catalog.set_state(&entry.id, EntryState::Active, None, &Precondition::Any).await.unwrap();
    assert!(catalog.resolve("chat").is_ok());
}

/// Verifies: ORCH-181
#[tokio::test]
async fn an_alias_points_to_one_model_and_can_move() {
    let (store, catalog) = empty().await;
    let one = catalog.register(sample_entry(1), &[alias("chat")], TakenAlias::Move).await.unwrap();
    let two = catalog.register(sample_entry(2), &[alias("chat")], TakenAlias::Move).await.unwrap();
    assert_eq!(catalog.resolve("chat").unwrap().id, two.id);
    catalog.set_alias(alias("chat"), &one.id).await.unwrap();
    assert_eq!(catalog.resolve("chat").unwrap().id, one.id);
    let absent = sample_entry(3).id;
    assert!(catalog.set_alias(alias("chat"), &absent).await.is_err(), "no alias may dangle");

    let again = Catalog::open(store, CatalogLimits::default()).await.unwrap();
    assert_eq!(again.list(), catalog.list(), "the store holds what is seen");
    catalog.remove_alias(&alias("chat"), &Precondition::Any).await.unwrap();
    assert!(catalog.resolve("chat").is_err());
    let missing = catalog.remove_alias(&alias("chat"), &Precondition::Any).await;
    assert!(matches!(missing, Err(CatalogError::UnknownAlias { .. })));
}

/// Verifies: ORCH-194
#[tokio::test]
async fn a_remote_model_gets_its_name_only_where_that_is_free() {
    let (_, catalog) = empty().await;
    let local =
        catalog.register(sample_entry(1), &[alias("qwen")], TakenAlias::Move).await.unwrap();
    let remote = Entry::remote("gpu", "qwen", None, 0).unwrap();
    catalog.register(remote.clone(), &[alias("qwen")], TakenAlias::Keep).await.unwrap();
    assert_eq!(catalog.resolve("qwen").unwrap().id, local.id);
    assert_eq!(catalog.resolve("remote:gpu/qwen").unwrap().id, remote.id);
    let other = Entry::remote("gpu", "phi", None, 0).unwrap();
    catalog.register(other.clone(), &[alias("phi")], TakenAlias::Keep).await.unwrap();
    assert_eq!(catalog.resolve("phi").unwrap().id, other.id);
}

#[tokio::test]
async fn a_full_catalog_refuses_more_but_still_changes_what_it_has() {
    let limits = CatalogLimits { entries_max: 1, aliases_max: 1 };
    let catalog = Catalog::open(Arc::new(MemoryStore::default()), limits).await.unwrap();
    catalog.register(sample_entry(1), &[alias("a")], TakenAlias::Move).await.unwrap();
    let second = catalog.register(sample_entry(2), &[], TakenAlias::Move).await;
    assert!(matches!(second, Err(CatalogError::TooManyModels { limit: 1 })));
    let name = catalog.set_alias(alias("b"), &sample_entry(1).id).await;
    assert!(matches!(name, Err(CatalogError::TooManyAliases { limit: 1 })));
    catalog.register(sample_entry(1), &[alias("a")], TakenAlias::Move).await.unwrap();
}
