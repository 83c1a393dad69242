use std::sync::Arc;

use catalog_core::{
    CatalogStore,
    testing::{MemoryStore, check_store},
};

#[tokio::test]
async fn the_store_in_memory_keeps_the_contract() {
    let store: Arc<dyn CatalogStore> = Arc::new(MemoryStore::default());
    check_store(async || Arc::clone(&store)).await;
}
