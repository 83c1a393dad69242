use std::sync::Arc;

use camino_tempfile::tempdir;
use operations::{OperationStore, testing::check_store};
use store_sqlite::{SqliteOptions, SqliteStore};

/// Verifies: ORCH-012
#[tokio::test]
async fn operations_are_kept_across_restarts() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    let open = || Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
    check_store(async || open() as Arc<dyn OperationStore>).await;
}
