use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::finding::TextTarget;
use crate::input::RunInput;

/// A change to one of the two texts. Critics propose edits; only the caller applies them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The text to change.
    pub target: TextTarget,
    /// First byte to replace, on a character boundary.
    pub start: usize,
    /// One past the last byte to replace, on a character boundary.
    pub end: usize,
    /// What to put there.
    pub replacement: String,
    /// Whether the edit only hides text. Redactions that overlap become their union; other overlaps are conflicts.
    #[serde(default)]
    pub redaction: bool,
}

impl Edit {
    /// What a redaction puts in the place of text, unless told otherwise.
    pub const REDACTED: &'static str = "[redacted]";

    /// Replaces a range of bytes.
    pub fn replace(
        target: TextTarget,
        range: Range<usize>,
        replacement: impl Into<String>,
    ) -> Self {
        Self {
            target,
            start: range.start,
            end: range.end,
            replacement: replacement.into(),
            redaction: false,
        }
    }

    /// Hides a range of bytes behind [`Edit::REDACTED`].
    #[must_use]
    pub fn redact(target: TextTarget, range: Range<usize>) -> Self {
        Self::redact_as(target, range, Self::REDACTED)
    }

    /// Hides a range of bytes behind a label such as `[email]`.
    pub fn redact_as(target: TextTarget, range: Range<usize>, label: impl Into<String>) -> Self {
        Self { redaction: true, ..Self::replace(target, range, label) }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let touches = self.start < other.end && other.start < self.end;
        // Two insertions at one place would need an order between them, which nobody gave.
        let same_insertion =
            self.start == self.end && (self.start, self.end) == (other.start, other.end);
        self.target == other.target && (touches || same_insertion)
    }
}

/// The edits of all answers as one list that can be applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergedEdits {
    /// Edits without overlaps, by target and position.
    pub edits: Vec<Edit>,
    /// Whether edits contradicted each other. Those that did are left out.
    pub conflict: bool,
}

impl MergedEdits {
    /// Merges edits given in plan order: equal ones collapse, overlapping redactions become their union with
    /// the label of the earliest in plan order, and any other overlap is a conflict.
    pub fn merge<'a>(edits: impl IntoIterator<Item = &'a Edit>) -> Self {
        let mut ordered: Vec<(usize, Edit)> = edits.into_iter().cloned().enumerate().collect();
        ordered.sort_by(|(a_rank, a), (b_rank, b)| {
            (a.target, a.start, a.end, a_rank).cmp(&(b.target, b.start, b.end, b_rank))
        });
        let mut conflict = false;
        let mut groups: Vec<Group> = Vec::new();
        for (rank, edit) in ordered {
            match groups.last_mut() {
                Some(group) if group.union.overlaps(&edit) => group.add(rank, edit),
                _ => groups.push(Group {
                    union: edit.clone(),
                    label_rank: rank,
                    first: edit,
                    contradiction: false,
                }),
            }
        }
        groups.retain(|group| {
            conflict |= group.contradiction;
            !group.contradiction
        });
        Self { edits: groups.into_iter().map(|group| group.union).collect(), conflict }
    }

    /// The text with the merged edits of that target applied. Edits outside the text are left out.
    #[must_use]
    pub fn apply(&self, target: TextTarget, text: &str) -> String {
        let mut edited = String::with_capacity(text.len());
        let mut kept_to = 0;
        for edit in self.edits.iter().filter(|edit| edit.target == target) {
            if edit.start >= kept_to && text.is_char_boundary(edit.end) {
                edited.push_str(text.get(kept_to..edit.start).unwrap_or_default());
                edited.push_str(&edit.replacement);
                kept_to = edit.end;
            }
        }
        edited.push_str(text.get(kept_to..).unwrap_or_default());
        edited
    }
}

/// Edits that overlap, directly or through others.
struct Group {
    union: Edit,
    label_rank: usize,
    first: Edit,
    contradiction: bool,
}

impl Group {
    fn add(&mut self, rank: usize, edit: Edit) {
        if edit == self.first && !self.contradiction && self.union == self.first {
            return;
        }
        if !(edit.redaction && self.union.redaction) {
            self.contradiction = true;
        }
        if rank < self.label_rank {
            self.label_rank = rank;
            self.union.replacement = edit.replacement;
        }
        self.union.end = self.union.end.max(edit.end);
    }
}

/// What is wrong with an edit for this input, if anything.
pub(crate) fn problem_of(edit: &Edit, input: &RunInput) -> Option<&'static str> {
    let text = match edit.target {
        TextTarget::Input => Some(input.input_text()),
        TextTarget::Output => input.output_text(),
    };
    match text {
        None => Some("there is no such text"),
        Some(_) if edit.start > edit.end => Some("the range ends before it starts"),
        Some(text) if edit.end > text.len() => Some("the range ends outside the text"),
        Some(text) if !(text.is_char_boundary(edit.start) && text.is_char_boundary(edit.end)) => {
            Some("the range cuts a character")
        }
        Some(_) => None,
    }
}
