//! A seeded simulation of the scheduler with the daemon, the store, the workers and the clients around it:
//! hours of bursty load with faults in seconds, judged after every step.
//!
//! The scheduler is the real one of `orchestrator-core`. What drives it in the daemon is async code behind
//! ports, and is modelled here after it, step by step: `docs/simulation.md` says what is real, what is
//! modelled, and what is not covered.
//!
//! Invariants: a run depends on its [`Scenario`] and its [`Plant`] alone; nothing here reads a clock or
//! touches the disk; faults are planted around the scheduler and the store, never in them.

mod agenda;
mod dice;
mod engine;
mod journal;
mod judge;
mod names;
mod oracle;
mod plant;
mod report;
mod run;
mod scenario;
mod shrink;
mod tally;
mod violation;
mod world;

pub use oracle::in_time_of_oracle;
pub use plant::Plant;
pub use report::{estimates, report};
pub use run::{Failure, run, trace};
pub use scenario::{Fault, FaultKind, Load, ReplicaPlan, Scenario, Settings, TaskPlan, WishPlan};
pub use shrink::{Shrunk, shrink};
pub use tally::{Deadlines, Estimate, Tally};
pub use violation::Violation;
