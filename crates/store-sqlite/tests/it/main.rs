//! Tests of the store through its ports.

#[cfg(test)]
#[cfg(feature = "catalog")]
mod catalog;
#[cfg(test)]
mod child;
#[cfg(test)]
mod data_dir;
#[cfg(test)]
#[cfg(feature = "journal")]
mod durability;
#[cfg(test)]
#[cfg(feature = "journal")]
mod ends;
#[cfg(test)]
#[cfg(feature = "journal")]
mod full_device;
#[cfg(test)]
#[cfg(feature = "journal")]
mod idempotency;
#[cfg(test)]
#[cfg(feature = "journal")]
mod listing;
#[cfg(test)]
#[cfg(feature = "operations")]
mod operations;
#[cfg(test)]
#[cfg(feature = "journal")]
mod round_trip;
#[cfg(test)]
#[cfg(feature = "journal")]
mod rows;
#[cfg(test)]
mod schema;
