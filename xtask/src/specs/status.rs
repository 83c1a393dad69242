use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Bindings, Id, Requirements};

/// What each requirement's state is: the content of `.specs/status.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusFile {
    entries: BTreeMap<Id, Entry>,
}

/// The state of one requirement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// How far it is.
    pub status: Status,
    /// The command that measures it, or why it is not verified; free text otherwise.
    #[serde(default)]
    pub note: Option<String>,
}

/// How far a requirement is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not yet claimed.
    #[default]
    Planned,
    /// A test that runs shows it.
    Verified,
    /// A benchmark or a long run shows it; the note has its command.
    Measured,
    /// Built, but nothing here can show it; the note says why.
    Unverified,
}

impl Status {
    /// As it stands in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Verified => "verified",
            Self::Measured => "measured",
            Self::Unverified => "unverified",
        }
    }
}

const HEAD: &str = "\
# The status of every requirement, one table per section of the documents beside this file.
#   planned     not yet claimed
#   verified    at least one test names it (`/// Verifies: ORCH-091`), runs and passes
#   measured    a command shows it; the note has the command
#   unverified  built, but nothing here can show it; the note says why
# `cargo xtask specs --check` holds this file against the tests, `cargo xtask specs --mark-verified` brings
# it up to date and into its only layout. Notes survive that, other comments do not.
";

impl StatusFile {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is not TOML of the expected shape, or an id stands in two tables.
    pub fn parse(text: &str) -> Result<Self> {
        let tables: BTreeMap<String, BTreeMap<String, Entry>> = toml::from_str(text)?;
        let mut entries = BTreeMap::new();
        for (key, entry) in tables.into_values().flatten() {
            let id = Id::parse(&key).with_context(|| format!("`{key}` is no requirement id"))?;
            if let Some(_twice) = entries.insert(id, entry) {
                bail!("{key} stands in two tables");
            }
        }
        Ok(Self { entries })
    }

    /// The file's text in its only layout: a table per area, every requirement in it, one line each.
    /// Requirements without an entry are written as planned; entries without a requirement are left out.
    #[must_use]
    pub fn render(&self, requirements: &Requirements) -> String {
        let mut text = HEAD.to_owned();
        for area in requirements.areas() {
            let _ = writeln!(text, "\n[{}]", toml_string(&area.title));
            for id in &area.ids {
                let status = self.status(id).name();
                let note = self.note(id).map(|note| format!(", note = {}", toml_string(note)));
                let _ = writeln!(
                    text,
                    "{id} = {{ status = \"{status}\"{} }}",
                    note.unwrap_or_default()
                );
            }
        }
        text
    }

    /// Sets every planned requirement that a test names to verified.
    pub fn mark_verified(&mut self, bindings: &Bindings) {
        for id in bindings.ids() {
            let entry = self.entries.entry(id.clone()).or_default();
            if entry.status == Status::Planned {
                entry.status = Status::Verified;
            }
        }
    }

    /// The status of a requirement; one without an entry is planned.
    #[must_use]
    pub fn status(&self, id: &Id) -> Status {
        self.entries.get(id).map_or(Status::Planned, |entry| entry.status)
    }

    /// The note of a requirement.
    #[must_use]
    pub fn note(&self, id: &Id) -> Option<&str> {
        self.entries.get(id)?.note.as_deref()
    }

    /// All entries in the order of their ids.
    pub fn entries(&self) -> impl Iterator<Item = (&Id, &Entry)> {
        self.entries.iter()
    }
}

fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}
