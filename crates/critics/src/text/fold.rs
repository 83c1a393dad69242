use std::{borrow::Cow, ops::Range};

use serde::Serialize;

/// Differences between two texts that a search looks past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Folding {
    /// Upper and lower case, by Unicode's simple rules: `STRASSE` is not `straße`, `Σ` is `σ`.
    pub case: bool,
    /// Characters that nobody sees: soft hyphens, zero-width spaces and joiners, direction marks, tags. They
    /// are what a word is split with to get past a filter.
    pub invisible: bool,
    /// Full-width forms of ASCII characters, such as `Ａ`.
    pub width: bool,
}

impl Folding {
    /// Looks past everything it can.
    pub const ALL: Self = Self { case: true, invisible: true, width: true };

    /// `text` without the differences.
    #[must_use]
    pub fn fold<'a>(&self, text: &'a str) -> Folded<'a> {
        let is_plain = !self.case && !self.invisible && !self.width;
        if is_plain || (text.is_ascii() && !self.case) {
            return Folded { text: Cow::Borrowed(text), steps: Vec::new() };
        }
        if text.is_ascii() {
            return Folded { text: Cow::Owned(text.to_ascii_lowercase()), steps: Vec::new() };
        }
        let mut folded = Folded { text: Cow::Borrowed(""), steps: Vec::new() };
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            // Most text comes in runs of ASCII, which only have their case to lose.
            let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
            let before = out.len();
            out.push_str(&rest[..ascii]);
            if self.case {
                out[before..].make_ascii_lowercase();
            }
            at += ascii;
            let Some(from) = rest[ascii..].chars().next() else { break };
            let before = out.len();
            self.push(from, &mut out);
            let (length, former) = (out.len() - before, from.len_utf8());
            if length != former {
                folded.steps.push(Step { at: before, length, from: at, former });
            }
            at += former;
        }
        folded.text = Cow::Owned(out);
        folded
    }

    fn push(self, from: char, out: &mut String) {
        if self.invisible && is_invisible(from) {
            return;
        }
        let narrow = if self.width { narrow(from) } else { from };
        if self.case {
            out.extend(narrow.to_lowercase().map(|lower| if lower == 'ς' { 'σ' } else { lower }));
        } else {
            out.push(narrow);
        }
    }
}

/// A folded text that knows where its bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded<'a> {
    text: Cow<'a, str>,
    /// Characters that changed their length, in order. Between them offsets move in parallel.
    steps: Vec<Step>,
}

/// A character whose folded form has another length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// Where its folded form starts, in bytes of the folded text.
    at: usize,
    length: usize,
    /// Where it starts, in bytes of the original.
    from: usize,
    former: usize,
}

impl Folded<'_> {
    /// The folded text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the original that became `span` of the folded text; whole characters, also where `span`
    /// covers a part of what one became.
    #[must_use]
    pub fn original(&self, span: Range<usize>) -> Range<usize> {
        let start = match self.step_before(span.start) {
            None => span.start,
            Some(step) if span.start < step.at + step.length => step.from,
            Some(step) => step.from + step.former + (span.start - step.at - step.length),
        };
        if span.is_empty() {
            return start..start;
        }
        let end = match self.step_before(span.end - 1) {
            None => span.end,
            Some(step) if span.end <= step.at + step.length => step.from + step.former,
            Some(step) => step.from + step.former + (span.end - step.at - step.length),
        };
        start..end
    }

    /// The last step that starts at `at` or before.
    fn step_before(&self, at: usize) -> Option<Step> {
        let after = self.steps.partition_point(|step| step.at <= at);
        after.checked_sub(1).map(|index| self.steps[index])
    }
}

/// Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt, Unicode 16), and U+180E's kin.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The ASCII character that a full-width form stands for (block U+FF00, which mirrors ASCII from `!`).
fn narrow(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character)
        }
        '\u{3000}' => ' ',
        other => other,
    }
}
