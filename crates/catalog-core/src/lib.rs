//! Which models there are: references to them, their verified entries, and the names people give them.
//!
//! A [`ModelReference`] says where a model comes from; an [`Entry`] is a model that was read and checked,
//! addressed by its content ([`CatalogId`]); an [`Alias`] is a name that points to one entry. The
//! [`Catalog`] keeps them in memory over a [`CatalogStore`], the port that a database implements.
//!
//! Invariants: a path is built from a [`ModelDigest`] only, never from a string that a client sent; an
//! alias always points to an entry that exists, and can be mistaken neither for an id nor for a
//! reference; a change is in the store before anyone sees it, and is never decided on records that somebody
//! else has changed meanwhile; an entry whose file changed, or that the [`TrustPolicy`] refuses, is not
//! handed out.
//!
//! The feature `testing` adds a store in memory and the contract suite for stores.

mod alias;
mod catalog;
mod digest;
mod entry;
mod error;
mod file_stamp;
mod id;
mod index;
mod reference;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod trust;
mod version;

pub use alias::{Alias, InvalidAlias};
pub use catalog::{Catalog, CatalogLimits, Details, TakenAlias, Verification};
pub use digest::{InvalidDigest, ModelDigest};
pub use entry::{Entry, EntryFile, EntryState, LocalModel, Sbom, Signature, VerifyResult};
pub use error::{CatalogError, ResolveError};
pub use file_stamp::FileStamp;
pub use id::{CatalogId, InvalidId};
pub use index::ListedModel;
pub use reference::{ModelReference, PackageName, ReferenceError};
pub use store::{CatalogRecords, CatalogStore, Change, Commit, StoreError};
pub use trust::{Distrust, TrustPolicy};
pub use version::Precondition;
