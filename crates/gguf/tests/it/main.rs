//! Tests of the header parser through its public API.

use gguf::testing::TrackingAllocator;

#[cfg(test)]
mod facts;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod starter_model;
#[cfg(test)]
mod well_formed;

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator;
