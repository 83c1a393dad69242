//! The metrics of orchestratord: their declarations, which generate the checked-in list, and the counting of
//! the orchestrator's decisions through its port [`orchestrator::Observer`].
//!
//! Invariants: whatever stands on a page is declared in [`DECLARATIONS`], and the other way round; labels
//! are model names, pool names, enums and route templates, never ids of tasks, clients or requests; nothing
//! is counted token by token.

mod daemon_metrics;
mod declarations;
mod outcome_names;
mod samples;

pub use daemon_metrics::{DaemonMetrics, HANDOFF_OUTCOMES};
pub use declarations::{DECLARATIONS, list};
pub use samples::Samples;
