//! Tests of what other tests rely on.

#[cfg(test)]
mod engine;
#[cfg(test)]
mod scripts;
