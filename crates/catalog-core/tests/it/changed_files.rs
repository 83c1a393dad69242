use std::{fs, sync::Arc};

use camino::Utf8Path;
use camino_tempfile::{Utf8TempDir, tempdir};
use catalog_core::{
    Catalog, CatalogError, CatalogLimits, CatalogStore, Entry, EntryFile, FileStamp, LocalModel,
    ModelDigest, ResolveError, TakenAlias, VerifyResult, testing::MemoryStore,
};

fn entry_of(path: &Utf8Path) -> Entry {
    let first = EntryFile {
        path: path.to_owned(),
        sha256: ModelDigest::new([1; 32]),
        stamp: FileStamp::read(path).unwrap(),
    };
    let model = LocalModel {
        source_ref: format!("file:{path}"),
        resolved_ref: None,
        first,
        others: Vec::new(),
        format: None,
        architecture: None,
        quant: None,
        ctx_max: None,
        kv_bytes_per_token: None,
        verify_result: VerifyResult::Warn,
    };
    Entry::local(model, 0)
}

async fn check_change_is_noticed(change: impl FnOnce(&Utf8TempDir, &Utf8Path)) {
    let dir = tempdir().unwrap();
    let path = dir.path().canonicalize_utf8().unwrap().join("model.gguf");
    fs::write(&path, "weights").unwrap();
    let store: Arc<dyn CatalogStore> = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(Arc::clone(&store), CatalogLimits::default()).await.unwrap();
    let id = catalog.register(entry_of(&path), &[], TakenAlias::Move).await.unwrap().id.clone();
    catalog.recheck_unchanged(&id).await.unwrap();

    change(&dir, &path);
    let found = catalog.recheck_unchanged(&id).await.unwrap_err();
    let CatalogError::Resolve(ResolveError::OutOfService { reason, .. }) = found else {
        panic!("expected the entry to be out of service, got {found}")
    };
    assert!(reason.contains("model.gguf") && !reason.contains(dir.path().as_str()), "{reason}");
    assert!(catalog.resolve(&id.to_string()).is_err(), "new tasks do not get it");
    let restarted = Catalog::open(store, CatalogLimits::default()).await.unwrap();
    assert!(restarted.resolve(&id.to_string()).is_err(), "nor after a restart");

    fs::remove_file(&path).ok();
    fs::write(&path, "weights").unwrap();
    catalog.register(entry_of(&path), &[], TakenAlias::Move).await.unwrap();
    catalog.recheck_unchanged(&id).await.unwrap();
}

/// Verifies: ORCH-187
#[tokio::test]
async fn a_file_that_was_written_to_takes_the_model_out_of_service() {
    check_change_is_noticed(|_, path| fs::write(path, "other weights").unwrap()).await;
}

/// Verifies: ORCH-187
#[tokio::test]
async fn a_file_with_another_time_takes_the_model_out_of_service() {
    check_change_is_noticed(|_, path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    })
    .await;
}

/// Verifies: ORCH-187
#[tokio::test]
async fn a_file_that_was_replaced_takes_the_model_out_of_service() {
    check_change_is_noticed(|dir, path| {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "WEIGHTS").unwrap();
        fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        fs::rename(other, path).unwrap();
    })
    .await;
}

/// Verifies: ORCH-187
#[tokio::test]
async fn a_file_that_is_gone_or_became_a_link_takes_the_model_out_of_service() {
    check_change_is_noticed(|_, path| fs::remove_file(path).unwrap()).await;
    check_change_is_noticed(|dir, path| {
        let moved = dir.path().join("moved");
        fs::rename(path, &moved).unwrap();
        std::os::unix::fs::symlink(moved, path).unwrap();
    })
    .await;
}
