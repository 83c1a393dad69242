//! Tests of `placement` through its public API.

#[cfg(test)]
mod explanations;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod house;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod random;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod wishes;
