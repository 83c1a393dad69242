use std::fmt;

use serde::{Deserialize, Serialize};

/// The six stages of a plan, in their order. A stage may be empty.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Is the request one that can be judged at all?
    PreValidation = 0,
    /// Cheap checks, milliseconds each.
    FastCritics = 1,
    /// The main checks.
    #[default]
    CoreAnalysis = 2,
    /// Slow or costly checks, usually behind a gate.
    DeepAnalysis = 3,
    /// Work on what was found.
    PostProcessing = 4,
    /// Last checks of the whole.
    Validation = 5,
}

impl Stage {
    /// How many stages there are.
    pub const COUNT: usize = 6;

    /// All stages in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::PreValidation,
        Self::FastCritics,
        Self::CoreAnalysis,
        Self::DeepAnalysis,
        Self::PostProcessing,
        Self::Validation,
    ];

    /// The stage's place in the order, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The stage's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreValidation => "pre_validation",
            Self::FastCritics => "fast_critics",
            Self::CoreAnalysis => "core_analysis",
            Self::DeepAnalysis => "deep_analysis",
            Self::PostProcessing => "post_processing",
            Self::Validation => "validation",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the executor waits for everything before it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageMode {
    /// Barriers after pre-validation, deep analysis and post-processing; between the others only gates and
    /// dependencies order critics.
    #[default]
    Relaxed,
    /// A barrier after every stage.
    Strict,
}

impl StageMode {
    /// Whether there is a barrier after a stage.
    #[must_use]
    pub fn has_barrier_after(self, stage: Stage) -> bool {
        match self {
            Self::Strict => true,
            Self::Relaxed => {
                matches!(stage, Stage::PreValidation | Stage::DeepAnalysis | Stage::PostProcessing)
            }
        }
    }
}
