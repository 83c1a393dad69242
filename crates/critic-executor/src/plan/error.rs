use std::fmt;
use std::sync::Arc;

/// One thing that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two critics have one name.
    #[error("two critics are named `{name}`; rename one")]
    DuplicateName {
        /// The name.
        name: Arc<str>,
    },
    /// A critic has no name.
    #[error("a critic has an empty name")]
    EmptyName,
    /// A dependency is not in the plan.
    #[error("`{critic}` depends on `{name}`, which is not in the plan{}", nearest_hint(nearest))]
    UnknownDependency {
        /// The critic that depends.
        critic: Arc<str>,
        /// The name that is not known.
        name: Arc<str>,
        /// The known name that is most like it.
        nearest: Option<Arc<str>>,
    },
    /// A critic depends on itself.
    #[error("`{critic}` depends on itself")]
    SelfDependency {
        /// The critic.
        critic: Arc<str>,
    },
    /// A dependency is in a later stage.
    #[error("`{critic}` depends on `{name}`, which is in a later stage")]
    LaterDependency {
        /// The critic that depends.
        critic: Arc<str>,
        /// The other critic.
        name: Arc<str>,
    },
    /// A critic named as evidence is not in the plan.
    #[error(
        "`{critic}` takes `{name}` as evidence, which is not in the plan{}",
        nearest_hint(nearest)
    )]
    UnknownEvidence {
        /// The critic with the policy.
        critic: Arc<str>,
        /// The name that is not known.
        name: Arc<str>,
        /// The known name that is most like it.
        nearest: Option<Arc<str>>,
    },
    /// A critic named as evidence is in a later stage, or is the critic itself.
    #[error("`{critic}` takes `{name}` as evidence, which cannot have ended before it")]
    LaterEvidence {
        /// The critic with the policy.
        critic: Arc<str>,
        /// The other critic.
        name: Arc<str>,
    },
    /// A validator is not registered with the plan.
    #[error(
        "`{critic}` names the validator `{name}`, which is not registered{}",
        nearest_hint(nearest)
    )]
    UnknownValidator {
        /// The critic.
        critic: Arc<str>,
        /// The name that is not known.
        name: Arc<str>,
        /// The registered name that is most like it.
        nearest: Option<Arc<str>>,
    },
    /// Critics wait for each other.
    #[error("critics wait for each other: {}", path.join(" → "))]
    Cycle {
        /// Each waits for the next; the last is the first again.
        path: Vec<Arc<str>>,
    },
    /// A number is out of its range.
    #[error("{}: `{setting}` {problem}", critic.as_deref().map_or("plan".into(), |name| format!("`{name}`")))]
    InvalidSetting {
        /// The critic, or `None` for a setting of the plan.
        critic: Option<Arc<str>>,
        /// The setting.
        setting: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// An expression or a schema does not compile.
    #[error("`{critic}`: the {what} does not compile: {message}")]
    DoesNotCompile {
        /// The critic.
        critic: Arc<str>,
        /// `policy` or `schema`.
        what: &'static str,
        /// What the compiler said.
        message: String,
    },
}

fn nearest_hint(nearest: &Option<Arc<str>>) -> String {
    nearest.as_deref().map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"))
}

/// All that is wrong with a plan, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanErrors(
    /// The errors, in plan order.
    pub Vec<PlanError>,
);

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanErrors {}

/// A setting that is legal but suspect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanWarning {
    /// A policy looks at evidence of which there is none.
    #[error("`{critic}` has a gate but no evidence; its gate depends on the input alone")]
    NoEvidence {
        /// The critic.
        critic: Arc<str>,
    },
    /// A timeout is longer than the one around it.
    #[error("`{critic}`: `{inner}` is longer than `{outer}` and never counts")]
    TimeoutNeverCounts {
        /// The critic.
        critic: Arc<str>,
        /// The longer one.
        inner: &'static str,
        /// The shorter one around it.
        outer: &'static str,
    },
    /// The delays between retries alone take longer than there is time.
    #[error("`{critic}`: its retries cannot all happen before `{outer}`")]
    RetriesDoNotFit {
        /// The critic.
        critic: Arc<str>,
        /// The timeout that is too short.
        outer: &'static str,
    },
    /// An urgent critic fails open.
    #[error("`{critic}` has priority {priority} and fails open")]
    UrgentFailsOpen {
        /// The critic.
        critic: Arc<str>,
        /// Its priority.
        priority: u8,
    },
    /// The budget does not pay for the critics that always run.
    #[error("the budget does not pay for the critics that always run")]
    BudgetTooSmall,
}
