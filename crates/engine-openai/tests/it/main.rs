//! Tests of the adapter against the scripted engine, and against canned bytes where no engine of ours
//! would send such.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod features;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod streaming;
