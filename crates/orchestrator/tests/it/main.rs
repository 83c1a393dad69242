//! The orchestrator over the real stores, with engines that answer as they are told.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod coalescing;
#[cfg(test)]
mod draining;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod events;
#[cfg(test)]
mod evicting;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod foresight;
#[cfg(test)]
mod house;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod model;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod random;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod retiring;
#[cfg(test)]
mod seam;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod time_limits;
