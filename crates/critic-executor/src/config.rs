//! Plans and settings from TOML and JSON: feature `config`. Critics are named by kinds that the embedder registers,
//! so that a file can choose and configure what the program brings, and nothing else.

mod build;
mod decode;
mod error;
mod kinds;
mod plan_file;
mod source;
mod values;

pub use error::{ConfigError, ConfigErrors};
pub use kinds::CriticKinds;
pub use plan_file::{
    BreakerSection, BudgetSection, CriticSection, ExecutorSection, FallbackSection,
    OutputLimitsSection, PlanFile, PlanSection, PolicySection, RateLimitSection,
    RetryBudgetSection, RetrySection, SeverityRuleSection, VerdictMapSection,
};
pub use values::{Dollars, Limit, Time};
