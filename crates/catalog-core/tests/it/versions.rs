use std::{collections::BTreeSet, sync::Arc};

use catalog_core::{
    Catalog, CatalogError, CatalogLimits, CatalogStore, Details, EntryState, Precondition,
    TakenAlias, Verification, VerifyResult,
    testing::{MemoryStore, sample_entry},
};

async fn over(store: &Arc<MemoryStore>) -> Catalog {
    let store = Arc::clone(store) as Arc<dyn CatalogStore>;
    Catalog::open(store, CatalogLimits::default()).await.unwrap()
}

fn exactly(version: &str) -> Precondition {
    Precondition::OneOf(vec!["other".to_owned(), version.to_owned()])
}

/// Verifies: ORCH-184
#[tokio::test]
async fn a_version_changes_with_entry_names_and_state_and_only_with_them() {
    let store = Arc::default();
    let catalog = over(&store).await;
    let id = catalog.register(sample_entry(1), &[], TakenAlias::Move).await.unwrap().id.clone();
    catalog.register(sample_entry(2), &[], TakenAlias::Move).await.unwrap();
    let name = id.to_string();
    let version = || catalog.listed(&name).unwrap().version();
    let mut seen = BTreeSet::from([version()]);
    catalog.set_alias("a".parse().unwrap(), &id).await.unwrap();
    assert!(seen.insert(version()));
    catalog.set_alias("a".parse().unwrap(), &id).await.unwrap();
    assert!(!seen.insert(version()), "nothing changed");
    catalog.set_alias("a".parse().unwrap(), &sample_entry(2).id).await.unwrap();
    assert!(!seen.insert(version()), "it is as it was before");
    catalog.set_state(&id, EntryState::Retired, Some(5), &Precondition::Any).await.unwrap();
    assert!(seen.insert(version()));
    let tags = Details { tags: vec!["new".to_owned()], ..Details::default() };
    catalog.describe(&id, &tags).await.unwrap();
    assert!(seen.insert(version()));
    assert_eq!(over(&store).await.listed(&name).unwrap().version(), version(), "across restarts");
}

/// Verifies: ORCH-184
#[tokio::test]
async fn a_change_of_another_version_is_refused() {
    let store = Arc::default();
    let catalog = over(&store).await;
    let id = catalog.register(sample_entry(1), &[], TakenAlias::Move).await.unwrap().id.clone();
    let before = catalog.listed(&id.to_string()).unwrap().version();
    catalog.set_alias("a".parse().unwrap(), &id).await.unwrap();
    let now = catalog.listed("a").unwrap().version();
    let is_changed =
        |result: Result<(), CatalogError>| matches!(result, Err(CatalogError::Changed));
    let old = exactly(&before);
    assert!(is_changed(catalog.remove(&id, &old).await));
    assert!(is_changed(catalog.remove_alias(&"a".parse().unwrap(), &old).await));
    assert!(is_changed(catalog.set_alias_if("a".parse().unwrap(), &id, &old).await));
    let absent = Precondition::Absent;
    assert!(is_changed(catalog.set_alias_if("a".parse().unwrap(), &id, &absent).await));
    catalog.set_alias_if("b".parse().unwrap(), &id, &absent).await.unwrap();
    let retired = catalog.set_state(&id, EntryState::Retired, None, &exactly(&now)).await;
    assert!(matches!(retired, Err(CatalogError::Changed)), "b was added");
    let now = catalog.listed("a").unwrap().version();
    catalog.remove(&id, &exactly(&now)).await.unwrap();
    assert!(catalog.find("a").is_none() && catalog.find("b").is_none(), "no name dangles");
}

/// Verifies: ORCH-190
#[tokio::test]
async fn a_change_is_decided_on_what_others_wrote() {
    let store = Arc::default();
    let (one, two) = (over(&store).await, over(&store).await);
    let id = one.register(sample_entry(1), &[], TakenAlias::Move).await.unwrap().id.clone();
    two.set_state(&id, EntryState::Retired, None, &Precondition::Any).await.unwrap();
    one.set_alias("a".parse().unwrap(), &id).await.unwrap();
    assert_eq!(one.get(&id).unwrap().state, EntryState::Retired);
    one.register(sample_entry(1), &[], TakenAlias::Move).await.unwrap();
    two.refresh().await.unwrap();
    assert_eq!(two.get(&id).unwrap().state, EntryState::Retired, "nothing was undone");
    assert_eq!(two.find("a").unwrap().id, id);
    two.remove(&id, &Precondition::Any).await.unwrap();
    assert!(one.set_alias("b".parse().unwrap(), &id).await.is_err(), "no alias may dangle");
}

/// Verifies: ORCH-186
#[tokio::test]
async fn a_failed_verification_takes_a_model_out_of_service_and_a_good_one_brings_it_back() {
    let store = Arc::default();
    let catalog = over(&store).await;
    let entry = catalog.register(sample_entry(1), &[], TakenAlias::Move).await.unwrap();
    let (id, name) = (entry.id.clone(), entry.id.to_string());
    let failed = Verification {
        began_with: entry.files.clone(),
        found: Err("its digest is another".to_owned()),
        at_ms: 7,
    };
    let found = catalog.note_verification(&id, &failed).await.unwrap();
    assert_eq!((found.verify_result, found.verified_at_ms), (VerifyResult::Fail, Some(7)));
    assert!(catalog.resolve(&name).unwrap_err().to_string().contains("its digest is another"));
    let mut files = entry.files.clone();
    files[0].stamp.inode += 1;
    let passed = Verification { found: Ok(files.clone()), at_ms: 9, ..failed };
    let found = catalog.note_verification(&id, &passed).await.unwrap();
    assert_eq!((found.verify_result, &found.files), (VerifyResult::Pass, &files));
    assert!(catalog.resolve(&name).is_ok());
    let late = Verification { found: Err("old".to_owned()), ..passed };
    catalog.note_verification(&id, &late).await.unwrap();
    assert!(catalog.resolve(&name).is_ok(), "it was of files that the entry has no more");
}
