//! Small files for tests: well-formed, hostile, and mutated at random from a seed.

mod allocation;
mod builder;
mod fuzz;

pub use allocation::TrackingAllocator;
pub use builder::Builder;
pub use fuzz::{FuzzFailure, fuzz_header};
