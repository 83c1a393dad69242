//! Tests of operations through the public API.

#[cfg(test)]
mod ledger;
#[cfg(test)]
mod running;
#[cfg(test)]
mod store_contract;
#[cfg(test)]
mod throughput;
