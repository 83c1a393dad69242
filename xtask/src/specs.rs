mod binding;
mod check;
mod id;
mod ran;
mod report;
mod requirements;
mod status;

pub use binding::{Bindings, TestRef};
pub use check::check;
pub use id::Id;
pub use ran::RanTests;
pub use report::{coverage, listing};
pub use requirements::{Area, Requirements};
pub use status::{Entry, Status, StatusFile};
