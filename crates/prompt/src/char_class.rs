use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// What the splitting rules tell apart. The classes exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CharClass {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// Everything else.
    Other,
}

impl CharClass {
    pub(crate) fn of(character: char) -> Self {
        if character.is_ascii() {
            return match character {
                'a'..='z' | 'A'..='Z' => Self::Letter,
                '0'..='9' => Self::Number,
                ' ' | '\t'..='\r' => Self::Space,
                _ => Self::Other,
            };
        }
        if character.is_whitespace() {
            Self::Space
        } else if is_letter(character) {
            Self::Letter
        } else if character.is_numeric() {
            Self::Number
        } else {
            Self::Other
        }
    }
}

/// Ranges of `\p{L}`, ordered. The standard library's `is_alphabetic` is another set: it has letter-like
/// numbers and many marks.
static LETTERS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let hir = regex_syntax::parse(r"\p{L}").expect("the general categories are compiled in");
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().map(|range| (range.start(), range.end())).collect()
        }
        other => unreachable!("a category is a class of characters, not {other:?}"),
    }
});

fn is_letter(character: char) -> bool {
    let after = LETTERS.partition_point(|&(start, _)| start <= character);
    after > 0 && character <= LETTERS[after - 1].1
}
