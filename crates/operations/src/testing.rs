//! A store in memory, and what every store must do.

mod contract;
mod memory_store;

pub use contract::{check_store, sample_operation};
pub use memory_store::MemoryStore;
