use std::ops::Range;

use crate::PromptError;
use crate::char_class::CharClass;

/// How a text is split into pieces before merges are applied inside each.
///
/// The rules are the regular expressions that llama.cpp has for the name in `tokenizer.ggml.pre`
/// (`src/llama-vocab.cpp`), written out as scanners: they are linear in the text and need no backtracking,
/// so a megabyte of blanks costs what a megabyte of words does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PreTokenizer {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// Each `\p{N}` alone, then the rule of [`PreTokenizer::Gpt2`] between them.
    Smollm,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|`
    /// `\s*[\r\n]+|\s+(?!\S)|\s+`
    LlamaBpe,
    /// As [`PreTokenizer::LlamaBpe`], with each `\p{N}` alone.
    Qwen2,
}

impl PreTokenizer {
    /// The rule called `name`.
    pub(crate) fn named(name: Option<&str>) -> Result<Self, PromptError> {
        match name {
            Some("gpt-2") => Ok(Self::Gpt2),
            Some("smollm") => Ok(Self::Smollm),
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::LlamaBpe),
            Some("qwen2") => Ok(Self::Qwen2),
            other => Err(PromptError::UnsupportedTokenizer {
                kind: match other {
                    Some(name) => format!("`gpt2` with pre-tokenizer `{name}`"),
                    None => "`gpt2` without a pre-tokenizer".to_owned(),
                },
                supported: "the pre-tokenizers smollm, gpt-2, llama-bpe and qwen2 are",
            }),
        }
    }

    /// Whether a piece that is a token is that token, whatever the merges say.
    pub(crate) fn ignores_merges(self) -> bool {
        self == Self::LlamaBpe
    }

    /// Whether prompts begin with the model's first token when its file does not say.
    pub(crate) fn adds_bos(self) -> bool {
        self == Self::LlamaBpe
    }

    /// Calls `piece` with each piece of `text` in order; together they are the text.
    pub(crate) fn split<'t>(self, text: &'t str, mut piece: impl FnMut(&'t str)) {
        let scan = Scan::new(text);
        let all = 0..scan.len();
        match self {
            Self::Gpt2 => scan.pieces(all, Scan::gpt2_end, &mut piece),
            Self::LlamaBpe => {
                scan.pieces(all, |scan, at, end| scan.llama_end(at, end, 3), &mut piece)
            }
            Self::Qwen2 => scan.pieces(all, |scan, at, end| scan.llama_end(at, end, 1), &mut piece),
            Self::Smollm => {
                let mut at = 0;
                while at < scan.len() {
                    let end = match scan.classes[at] {
                        CharClass::Number => at + 1,
                        _ => scan.run_end(at, scan.len(), |class| class != CharClass::Number),
                    };
                    scan.pieces(at..end, Scan::gpt2_end, &mut piece);
                    at = end;
                }
            }
        }
    }
}

/// A text with the class of each character.
struct Scan<'t> {
    text: &'t str,
    chars: Vec<char>,
    classes: Vec<CharClass>,
    /// Byte offset of each character, and the text's length.
    offsets: Vec<usize>,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let classes = chars.iter().map(|&character| CharClass::of(character)).collect();
        let offsets = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Self { text, chars, classes, offsets }
    }

    fn len(&self) -> usize {
        self.chars.len()
    }

    /// Cuts `range` into pieces; `piece_end` says where the piece at a position ends, after it.
    fn pieces(
        &self,
        range: Range<usize>,
        piece_end: impl Fn(&Self, usize, usize) -> usize,
        piece: &mut impl FnMut(&'t str),
    ) {
        let mut at = range.start;
        while at < range.end {
            let end = piece_end(self, at, range.end);
            piece(&self.text[self.offsets[at]..self.offsets[end]]);
            at = end;
        }
    }

    fn gpt2_end(&self, at: usize, end: usize) -> usize {
        if let Some(contraction_end) = self.contraction_end(at, end, char::clone) {
            return contraction_end;
        }
        // A blank goes with the word, number or symbols behind it.
        let word = if self.chars[at] == ' ' && at + 1 < end { at + 1 } else { at };
        match self.classes[word] {
            CharClass::Space => self.space_end(at, end),
            class => self.run_end(word, end, |other| other == class),
        }
    }

    fn llama_end(&self, at: usize, end: usize, digits_max: usize) -> usize {
        if let Some(contraction_end) = self.contraction_end(at, end, char::to_ascii_lowercase) {
            return contraction_end;
        }
        let (character, class) = (self.chars[at], self.classes[at]);
        // Any one character but a line end or number goes with the letters behind it.
        let is_prefix = class != CharClass::Number && !is_line_end(character);
        let next_is_letter = at + 1 < end && self.classes[at + 1] == CharClass::Letter;
        if class == CharClass::Letter || (is_prefix && next_is_letter) {
            return self.run_end(at + 1, end, |class| class == CharClass::Letter);
        }
        if class == CharClass::Number {
            let digits_end = self.run_end(at, end, |class| class == CharClass::Number);
            return digits_end.min(at + digits_max);
        }
        let symbols = if character == ' ' { at + 1 } else { at };
        if symbols < end && self.classes[symbols] == CharClass::Other {
            let symbols_end = self.run_end(symbols, end, |class| class == CharClass::Other);
            return (symbols_end..end).find(|&at| !is_line_end(self.chars[at])).unwrap_or(end);
        }
        let blank_end = self.run_end(at, end, |class| class == CharClass::Space);
        match (at..blank_end).rev().find(|&at| is_line_end(self.chars[at])) {
            Some(last_line_end) => last_line_end + 1,
            None => self.space_end(at, end),
        }
    }

    /// The end of `'s`, `'t`, `'m`, `'d`, `'re`, `'ve` or `'ll` at `at`, compared after `fold`.
    fn contraction_end(
        &self,
        at: usize,
        end: usize,
        fold: impl Fn(&char) -> char,
    ) -> Option<usize> {
        if self.chars[at] != '\'' {
            return None;
        }
        let letter = |at: usize| self.chars[..end].get(at).map(&fold);
        match (letter(at + 1)?, letter(at + 2)) {
            ('s' | 't' | 'm' | 'd', _) => Some(at + 2),
            ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(at + 3),
            _ => None,
        }
    }

    /// The end of the white space at `at`, but for its last character when a word follows that can take
    /// it.
    fn space_end(&self, at: usize, end: usize) -> usize {
        let space_end = self.run_end(at, end, |class| class == CharClass::Space);
        if space_end < end && space_end - at > 1 { space_end - 1 } else { space_end }
    }

    /// The first position from `at` whose class is not wanted, or `end`.
    fn run_end(&self, at: usize, end: usize, is_wanted: impl Fn(CharClass) -> bool) -> usize {
        (at..end).find(|&at| !is_wanted(self.classes[at])).unwrap_or(end)
    }
}

fn is_line_end(character: char) -> bool {
    matches!(character, '\r' | '\n')
}
