//! Tests of the host through its public API.

#[cfg(test)]
mod binding;
