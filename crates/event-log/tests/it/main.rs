//! Tests of the event log through its port.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod full_device;
#[cfg(test)]
mod log_dir;
#[cfg(test)]
mod random;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod segments;
#[cfg(test)]
mod sync;
