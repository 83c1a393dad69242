use std::{process::Stdio, sync::Arc};

use camino::Utf8Path;
use camino_tempfile::tempdir;
use catalog_core::{
    Alias, Catalog, CatalogLimits, CatalogStore, EntryState, Precondition, TakenAlias,
    VerifyResult,
    testing::{check_store, sample_entry},
};
use rusqlite::Connection;
use store_sqlite::{SqliteOptions, SqliteStore};

use crate::child;

/// Names that each process gives.
const NAMES: usize = 60;

fn store(dir: &Utf8Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(&dir.join("store.sqlite"), SqliteOptions::default()).unwrap())
}

async fn catalog(dir: &Utf8Path) -> Catalog {
    Catalog::open(store(dir) as _, CatalogLimits::default()).await.unwrap()
}

/// Verifies: ORCH-190
#[tokio::test]
async fn the_catalog_is_kept_across_restarts() {
    let dir = tempdir().unwrap();
    check_store(async || store(dir.path()) as Arc<dyn CatalogStore>).await;
}

/// Gives names, moves one that all processes fight for, and switches an entry's state.
async fn change_much(dir: &Utf8Path) {
    let catalog = catalog(dir).await;
    let (one, two) = (sample_entry(1).id, sample_entry(2).id);
    let process = std::process::id();
    for number in 0..NAMES {
        let id = if number % 2 == 0 { &one } else { &two };
        let name: Alias = format!("p{process}-{number}").parse().unwrap();
        catalog.set_alias(name, id).await.unwrap();
        catalog.set_alias("contested".parse().unwrap(), id).await.unwrap();
        let state = if number % 2 == 0 { EntryState::Retired } else { EntryState::Active };
        catalog.set_state(&one, state, None, &Precondition::Any).await.unwrap();
    }
}

/// Verifies: ORCH-190
#[tokio::test]
async fn two_processes_on_one_catalog_lose_no_change_of_each_other() {
    if let Some(dir) = child::dir() {
        return change_much(Utf8Path::new(&dir)).await;
    }
    let dir = tempdir().unwrap();
    let outsider = catalog(dir.path()).await;
    for number in [1, 2] {
        outsider.register(sample_entry(number), &[], TakenAlias::Move).await.unwrap();
    }
    let test = "catalog::two_processes_on_one_catalog_lose_no_change_of_each_other";
    let run = || child::command(test, dir.path()).stdout(Stdio::null()).spawn().unwrap();
    let mut children = [run(), run()];
    let ids: Vec<u32> = children.iter().map(std::process::Child::id).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    // What this process knew was outdated long ago, and still it breaks nothing.
    outsider.set_alias("late".parse().unwrap(), &sample_entry(2).id).await.unwrap();
    let named: Vec<String> = outsider
        .list()
        .iter()
        .flat_map(|model| model.aliases.iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect();
    assert_eq!(named.len(), 2 * NAMES + 2, "each name of each process is there: {named:?}");
    for id in ids {
        for number in 0..NAMES {
            assert!(named.contains(&format!("p{id}-{number}")));
        }
    }
    assert_eq!(outsider.get(&sample_entry(1).id).unwrap().state, EntryState::Active);
    let again = catalog(dir.path()).await;
    assert_eq!(again.list(), outsider.list(), "the store holds what is seen");
}

/// Verifies: ORCH-182, ORCH-190
#[tokio::test]
async fn entries_of_an_older_schema_gain_the_newer_fields() {
    let dir = tempdir().unwrap();
    let older = |number, result: &str| {
        let mut entry = serde_json::to_value(sample_entry(number)).unwrap();
        let fields = entry.as_object_mut().unwrap();
        for newer in [
            "resolved_ref",
            "kv_bytes_per_token",
            "retire_at_ms",
            "tags",
            "signatures",
            "sbom",
            "is_pinned",
        ] {
            fields.remove(newer).unwrap();
        }
        fields.insert("verify_result".to_owned(), result.into());
        entry
    };
    let connection = Connection::open(dir.path().join("store.sqlite")).unwrap();
    connection.execute_batch(include_str!("../../src/schema/1_journal.sql")).unwrap();
    connection.execute_batch(include_str!("../../src/schema/2_catalog.sql")).unwrap();
    for (number, result) in [(1, "pass"), (2, "warn")] {
        let entry = older(number, result);
        connection
            .execute(
                "INSERT INTO catalog_entries (id, entry) VALUES (?1, ?2)",
                [entry["id"].as_str().unwrap(), &entry.to_string()],
            )
            .unwrap();
    }
    connection
        .execute_batch("PRAGMA application_id = 1330791240; PRAGMA user_version = 2;")
        .unwrap();
    drop(connection);

    let catalog = catalog(dir.path()).await;
    let pinned = catalog.get(&sample_entry(1).id).unwrap();
    assert!(pinned.is_pinned && pinned.tags.is_empty());
    assert_eq!(pinned.files, sample_entry(1).files);
    let warned = catalog.get(&sample_entry(2).id).unwrap();
    assert!(!warned.is_pinned);
    assert_eq!(warned.verify_result, VerifyResult::Warn);
    catalog.set_alias("a".parse().unwrap(), &pinned.id).await.unwrap();
}
