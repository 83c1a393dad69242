//! File descriptors of the tests' own process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process open as many files as the system allows it; how many that are.
pub(crate) fn raise_descriptors() -> u64 {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    hard
}
