//! Where a task runs: [`decide`] looks at a [`Snapshot`] of nodes, pools and replicas and at what a task
//! asks for, and names the replica that gets it, the pool that should load its model, or why there is
//! neither, with every filter that each candidate failed.
//!
//! There is no clock, I/O, lock or randomness in here, and nothing of another crate: equal inputs give equal
//! decisions, whatever the order in which a snapshot was put together.
//!
//! ```
//! use placement::{
//!     Cursor, Node, Outcome, Pool, Replica, ReplicaKey, Request, Snapshot, Strategy, decide,
//! };
//!
//! let mut snapshot = Snapshot::default();
//! snapshot.put_node(Node::online("local"));
//! snapshot.put_pool(Pool::new("local", "gpu0"))?;
//! snapshot.put_replica(Replica::ready(ReplicaKey::new("local", "gpu0", "0"), "llama", 4))?;
//!
//! let cursor = Cursor::default();
//! let decision = decide(&snapshot, &Request::new("llama"), Strategy::default(), &cursor);
//! assert!(matches!(decision.outcome, Outcome::Assign { replica } if &*replica.pool == "gpu0"));
//!
//! let decision = decide(&snapshot, &Request::new("mistral"), Strategy::default(), &cursor);
//! let reasons: Vec<Vec<_>> = decision.candidates().map(|one| one.failed.names().collect()).collect();
//! assert_eq!(reasons, [vec!["MODEL_ABSENT", "LOAD_NOT_ALLOWED"]]);
//! # Ok::<(), placement::Unplaced>(())
//! ```
//!
//! Invariants: an assigned replica passed every filter; a replica without a free slot is never assigned; a
//! pinned task is never placed outside its pin.

mod continuation;
mod cursor;
mod decide;
mod decision;
mod device;
mod explanation;
mod filter;
mod judge;
mod key;
mod node;
mod pool;
mod replica;
mod request;
mod snapshot;
mod strategy;
mod wish;

pub use continuation::Continuation;
pub use cursor::Cursor;
pub use decide::{decide, to_empty};
pub use decision::{Candidate, Decision, NoCapacity, Outcome};
pub use device::{DeviceMemory, HEADROOM_BYTES, OwnMemory};
pub use explanation::{Explanation, Judged, Verdict};
pub use filter::{Filter, FilterSet};
pub use key::{DeviceId, ReplicaKey};
pub use node::{Device, Node};
pub use pool::{DeviceShare, Features, LoadableModel, Pool, Workloads};
pub use replica::{ReadyModel, Replica, ReplicaState};
pub use request::Request;
pub use snapshot::{Snapshot, Unplaced};
pub use strategy::{Base, Strategy};
pub use wish::{Wish, WishMode};
