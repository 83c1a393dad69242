//! Tests through the public API, one module a subject.
#[cfg(test)]
mod estimates;
#[cfg(test)]
mod plants;
#[cfg(test)]
mod worlds;
