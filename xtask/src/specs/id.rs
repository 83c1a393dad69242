use std::fmt;

use serde::Deserialize;

/// The series that this project's requirements are numbered in.
const SERIES: [&str; 2] = ["CRIT", "ORCH"];

/// The name of a requirement, such as `ORCH-091`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Id {
    series: &'static str,
    number: u16,
}

impl Id {
    /// Reads an id in its only spelling: series, hyphen, exactly three digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (series, digits) = text.split_once('-')?;
        let series = SERIES.into_iter().find(|known| *known == series)?;
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self { series, number: digits.parse().ok()? })
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no requirement id such as ORCH-091"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{:03}", self.series, self.number)
    }
}
