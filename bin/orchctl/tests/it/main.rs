//! Tests of the built program against the daemon of canned bytes that the client's tests use.

#[cfg(test)]
#[expect(dead_code, reason = "the client's tests use all of it")]
#[path = "../../../../crates/client/tests/it/canned_daemon.rs"]
mod canned_daemon;
#[cfg(test)]
mod examining;
#[cfg(test)]
mod explaining;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod models;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod papers;
#[cfg(test)]
mod program;
#[cfg(test)]
mod running;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod talking;
#[cfg(test)]
#[expect(dead_code, reason = "the client's tests use all of it")]
#[path = "../../../../crates/client/tests/it/wire.rs"]
mod wire;
