//! Tests of the daemon's metrics without a daemon.

#[cfg(test)]
mod counting;
