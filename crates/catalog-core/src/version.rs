use sha2::{Digest as _, Sha256};

use crate::{ListedModel, ModelDigest};

/// Digits of a version: enough that two states of an entry never share one.
const VERSION_DIGITS: usize = 32;

/// What an entry has to be for a change to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever it is.
    #[default]
    Any,
    /// It has one of these versions.
    OneOf(Vec<String>),
    /// There is none.
    Absent,
}

impl Precondition {
    /// Whether it holds for what is there.
    #[must_use]
    pub fn holds(&self, found: Option<&ListedModel>) -> bool {
        match (self, found) {
            (Self::Any, _) | (Self::Absent, None) => true,
            (Self::OneOf(versions), Some(model)) => versions.contains(&model.version()),
            (Self::OneOf(_), None) | (Self::Absent, Some(_)) => false,
        }
    }
}

impl ListedModel {
    /// Which state of the entry this is: another one after every change of it or of its names, and the same
    /// one as long as nothing changed, across restarts too.
    #[must_use]
    pub fn version(&self) -> String {
        let mut hash = Sha256::new();
        let entry = serde_json::to_vec(&*self.entry).expect("an entry is JSON");
        hash.update((entry.len() as u64).to_le_bytes());
        hash.update(entry);
        for alias in &self.aliases {
            hash.update(alias.as_str());
            hash.update([0]);
        }
        let mut digits = ModelDigest::new(hash.finalize().into()).to_hex();
        digits.truncate(VERSION_DIGITS);
        digits
    }
}
