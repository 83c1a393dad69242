//! A store in memory, and the contract that every [`CatalogStore`](crate::CatalogStore) must keep.

mod contract;
mod memory_store;

pub use contract::{check_store, sample_entry};
pub use memory_store::MemoryStore;
