//! Downloads that may be trusted: bound to one policy, resumed where they broke off, and checked against
//! a digest before anyone sees the file.
//!
//! A [`Fetcher`] is made from an [`EgressPolicy`], which says what may be reached at all, and
//! [`FetchLimits`]. [`Fetcher::page`] reads a text, [`Fetcher::file`] fetches a file to its place.
//!
//! Invariants: every hop of a redirect passes the policy like the first address; credentials are sent to
//! their own origin only; an address that is not public is refused after its name was resolved, unless
//! it is listed; a file appears at its place whole, checked and on disk, or not at all; what was asked
//! for several times at once is fetched once; nothing is read from the environment. Only the store of
//! trusted certificates is the system's own, to which the policy adds.
//!
//! The process must have a default crypto provider of rustls before the first [`Fetcher`] is made.

mod address;
mod authority;
mod credentials;
mod download;
mod error;
mod fetcher;
mod flights;
mod limits;
mod partial_file;
mod policy;
mod resolver;
mod rules;

pub use authority::{Authority, InvalidAuthority};
pub use credentials::Credentials;
pub use download::{FetchedFile, FileRequest, Transferred};
pub use error::{FetchError, Refusal};
pub use fetcher::{Fetcher, Page};
pub use flights::Flights;
pub use limits::FetchLimits;
pub use policy::EgressPolicy;
