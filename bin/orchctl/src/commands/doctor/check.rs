use serde::Serialize;

use crate::output::without_control;

/// What came of one check.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    name: &'static str,
    pub(super) verdict: Verdict,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Well,
    Finding,
    Skipped,
}

impl Check {
    pub(super) fn well(name: &'static str, says: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Well, says: says.into(), to_do: None }
    }

    pub(super) fn finding(
        name: &'static str,
        says: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Self {
        Self { name, verdict: Verdict::Finding, says: says.into(), to_do: Some(to_do.into()) }
    }

    /// What could not be checked, and why.
    pub(super) fn skipped(name: &'static str, says: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Skipped, says: says.into(), to_do: None }
    }

    /// For people: a line, and one for what to do.
    pub(super) fn text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Well => "ok",
            Verdict::Finding => "FINDING",
            Verdict::Skipped => "skipped",
        };
        let says = without_control(&self.says).replace('\n', "; ");
        let mut text = format!("{verdict:7}  {:14}  {says}\n", self.name);
        if let Some(to_do) = &self.to_do {
            let indent = "";
            text.push_str(&format!("{indent:25}to do: {}\n", without_control(to_do)));
        }
        text
    }
}
