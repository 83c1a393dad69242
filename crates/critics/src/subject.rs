use critic_executor::{CriticContext, CriticError, TextTarget};
use serde::{Deserialize, Serialize};

/// Which text of a run a critic looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The text that went into the model.
    Input,
    /// The text that came out of it. A run without one is a mistake of the plan: the critic fails.
    Output,
    /// The output where the run has one, else the input.
    #[default]
    Latest,
}

impl Subject {
    /// The text to look at, and which one it is.
    ///
    /// # Errors
    /// A permanent one where the run lacks that text.
    pub fn of(self, ctx: &CriticContext) -> Result<(TextTarget, &str), CriticError> {
        match (self, ctx.output()) {
            (Self::Input, _) | (Self::Latest, None) => Ok((TextTarget::Input, ctx.input())),
            (Self::Output | Self::Latest, Some(output)) => Ok((TextTarget::Output, output)),
            (Self::Output, None) => Err(CriticError::permanent(
                "the run has no output to look at; give it one or look at the input",
            )),
        }
    }
}
