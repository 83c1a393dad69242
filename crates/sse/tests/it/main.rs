//! Tests of event streams through the public API.

#[cfg(test)]
mod framing;
#[cfg(test)]
mod parsing;
