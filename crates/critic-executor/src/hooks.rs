use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::admission::breaker::BreakerState;
use crate::gate::GateDecision;
use crate::input::RunInput;
use crate::report::RunReport;
use crate::stage::Stage;
use crate::status::Status;

/// What a hook's error is: anything. It is counted and dropped.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// The run that an event is about.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// The id of the run.
    pub run_id: Arc<str>,
    /// What it judges.
    pub input: Arc<RunInput>,
}

/// Something that happened in a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HookEvent {
    /// All earlier stages have ended.
    StageOpened(Stage),
    /// The stage and all earlier ones have ended.
    StageClosed(Stage),
    /// A gate said something.
    GateDecided {
        /// The critic behind it.
        critic: Arc<str>,
        /// What it said.
        decision: GateDecision,
    },
    /// A critic is offered for admission.
    CriticReady {
        /// The critic.
        critic: Arc<str>,
    },
    /// The first attempt of a critic starts, or its ending is settled without one.
    CriticStarted {
        /// The critic.
        critic: Arc<str>,
    },
    /// An attempt failed and will be repeated.
    RetryScheduled {
        /// The critic.
        critic: Arc<str>,
        /// The number of the next attempt.
        attempt: u32,
        /// The wait before it.
        delay: Duration,
    },
    /// A critic ended. Exactly once for every critic of the plan.
    CriticFinished {
        /// The critic.
        critic: Arc<str>,
        /// How it ended.
        status: Status,
    },
    /// A breaker changed its state.
    BreakerChanged {
        /// The critic.
        critic: Arc<str>,
        /// The state before.
        from: BreakerState,
        /// The state now.
        to: BreakerState,
    },
}

/// Watches runs. Nothing that a hook does can change, break or hold up a run: errors and panics are counted, and
/// time is limited.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Before anything of a run starts.
    ///
    /// # Errors
    /// Anything; it is counted.
    async fn before_run(&self, _run: &RunInfo) -> Result<(), HookError> {
        Ok(())
    }

    /// Something happened. Events of one run come in their order.
    ///
    /// # Errors
    /// Anything; it is counted.
    async fn on_event(&self, _run: &RunInfo, _event: &HookEvent) -> Result<(), HookError> {
        Ok(())
    }

    /// After everything of a run has ended.
    ///
    /// # Errors
    /// Anything; it is counted.
    async fn after_run(&self, _run: &RunInfo, _report: &RunReport) -> Result<(), HookError> {
        Ok(())
    }
}

/// How a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookDelivery {
    /// The run waits for `before_run` and `after_run`, each for at most `limit`. Events between them are delivered
    /// while critics work; what is not delivered `limit` after the last critic is dropped and counted.
    Awaited {
        /// The longest wait.
        limit: Duration,
    },
    /// The run waits for nothing. Events go through a channel; when it is full they are dropped and counted.
    Detached {
        /// Events that the channel holds.
        capacity: usize,
    },
}

impl Default for HookDelivery {
    /// Awaited for 50 ms.
    fn default() -> Self {
        Self::Awaited { limit: Duration::from_millis(50) }
    }
}
