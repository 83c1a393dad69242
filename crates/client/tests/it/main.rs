//! Tests of the client against a daemon of canned bytes on a real socket. Time is tokio's and paused: waits
//! are exact and cost nothing.

#[cfg(test)]
mod asking;
#[cfg(test)]
mod canned_daemon;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod resuming;
#[cfg(test)]
mod retrying;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod wire;
