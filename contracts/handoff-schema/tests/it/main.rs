//! Tests of what a handoff file is.

#[cfg(test)]
mod files;
#[cfg(all(test, feature = "schema"))]
mod schema;
