use std::sync::Arc;

use operations::{
    OperationStore,
    testing::{MemoryStore, check_store},
};

#[tokio::test]
async fn the_store_in_memory_keeps_the_contract() {
    let store: Arc<dyn OperationStore> = Arc::new(MemoryStore::default());
    check_store(async || Arc::clone(&store)).await;
}
