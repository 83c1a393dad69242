//! The checks of `cargo xtask`, through the crate's public API.

#[cfg(test)]
mod bindings;
#[cfg(test)]
mod canonical_json;
#[cfg(test)]
mod guides;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod ran_tests;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod requirements;
#[cfg(test)]
mod specs_check;
#[cfg(test)]
mod status_file;
