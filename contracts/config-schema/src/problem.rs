use std::{fmt, sync::Arc};

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the file, on this line, counted from 1.
    File {
        /// The file's name as the caller gave it.
        name: Arc<str>,
        /// The line.
        line: usize,
    },
    /// In an environment variable.
    Environment {
        /// The variable's name.
        name: String,
    },
    /// In a flag of the command line.
    Flag {
        /// The key path that the flag sets.
        path: String,
    },
    /// Nowhere: what is wrong is that it is missing, or comes from values given in several places.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Environment { name } => write!(f, "environment variable {name}"),
            Self::Flag { path } => write!(f, "flag for {path}"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// One thing that is wrong with a configuration (ORCH-282).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it was given.
    pub origin: Origin,
    /// Path of the key, such as `pools.embedded.threads`; empty for text that is not TOML.
    pub key: String,
    /// The value as it was given; absent where the key itself is at fault. Credentials in addresses are
    /// masked.
    pub value: Option<String>,
    /// What is wrong, or what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        match (self.key.as_str(), &self.value) {
            ("", _) => {}
            (key, None) => write!(f, "`{key}`: ")?,
            (key, Some(value)) => write!(f, "`{key}` = {value}: ")?,
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}
