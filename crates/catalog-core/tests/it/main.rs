//! Tests of the catalog through its public API.

#[cfg(test)]
mod aliases;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod changed_files;
#[cfg(test)]
mod ids;
#[cfg(test)]
mod references;
#[cfg(test)]
mod store_contract;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod versions;
