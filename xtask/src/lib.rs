//! The checks behind `cargo xtask`: requirements bound to tests, layers of crates, contracts.
//!
//! Invariants: the checks are functions of texts and lists, so that tests can hand them made-up ones; only
//! [`sources`] and [`Requirements::read`] touch the disk, and nothing in here prints.

mod canonical_json;
mod layers;
mod metadata;
pub mod reference;
pub mod sources;
mod specs;

pub use canonical_json::canonical_json;
pub use layers::{Layer, LayerMap};
pub use metadata::{Dependency, DependencyKind, Metadata, Package};
pub use specs::{
    Area, Bindings, Entry, Id, RanTests, Requirements, Status, StatusFile, TestRef, check,
    coverage, listing,
};
