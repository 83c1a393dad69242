//! Handoff files: how whoever started an engine tells the daemon of it. One file for each replica, named
//! `<pool_id>.<replica_id>.json`, with one JSON object; its schema is `contracts/generated/handoff.schema.json`.
//!
//! This crate says what such a file is and what is wrong with one; where files lie, whom to believe and what
//! becomes of them is the business of whoever reads them.
//!
//! Invariants: a key that nothing here stands for is wrong; a value is taken as it was given or is wrong, never
//! replaced; text that is no JSON yet is told apart from JSON that says something wrong.

mod forms;
mod handoff_file;
#[cfg(feature = "schema")]
mod schema;
mod wrong_file;

pub use handoff_file::{HandedEngine, HandoffFile, ProvisioningMode};
#[cfg(feature = "schema")]
pub use schema::json_schema;
pub use wrong_file::WrongFile;
