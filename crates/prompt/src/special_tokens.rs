use aho_corasick::{AhoCorasick, MatchKind};

use crate::PromptError;
use crate::vocabulary::{TokenKind, Vocabulary};

/// Most special tokens; published vocabularies have up to 6,000.
const COUNT_MAX: usize = 65_536;
/// Most bytes of their texts together.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Finds tokens that are written out in a text, before it is split and merged.
#[derive(Debug)]
pub(crate) struct SpecialTokens {
    /// Control, unknown and user-defined tokens.
    all: Finder,
    /// User-defined tokens only, which are tokens wherever they are written.
    user_defined: Finder,
}

/// A stretch of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fragment<'t> {
    /// Ordinary text, not empty.
    Text(&'t str),
    /// A special token.
    Token(u32),
}

impl SpecialTokens {
    pub(crate) fn read(vocabulary: &Vocabulary) -> Result<Self, PromptError> {
        let of_kinds = |kinds: &[TokenKind]| {
            let tokens: Vec<(u32, &str)> = vocabulary
                .iter()
                .filter(|(_, text, kind)| kinds.contains(kind) && !text.is_empty())
                .map(|(id, text, _)| (id, text))
                .collect();
            Finder::new(&tokens)
        };
        Ok(Self {
            all: of_kinds(&[TokenKind::Control, TokenKind::Unknown, TokenKind::UserDefined])?,
            user_defined: of_kinds(&[TokenKind::UserDefined])?,
        })
    }

    /// Calls `fragment` with each stretch of `text` in order. Control tokens are found when
    /// `parse_special` is set.
    pub(crate) fn partition<'t>(
        &self,
        text: &'t str,
        parse_special: bool,
        mut fragment: impl FnMut(Fragment<'t>),
    ) {
        let finder = if parse_special { &self.all } else { &self.user_defined };
        let mut at = 0;
        for found in finder.automaton.find_iter(text) {
            if at < found.start() {
                fragment(Fragment::Text(&text[at..found.start()]));
            }
            fragment(Fragment::Token(finder.ids[found.pattern().as_usize()]));
            at = found.end();
        }
        if at < text.len() {
            fragment(Fragment::Text(&text[at..]));
        }
    }
}

#[derive(Debug)]
struct Finder {
    automaton: AhoCorasick,
    /// The token of each pattern.
    ids: Vec<u32>,
}

impl Finder {
    fn new(tokens: &[(u32, &str)]) -> Result<Self, PromptError> {
        let text_bytes: usize = tokens.iter().map(|(_, text)| text.len()).sum();
        let unsupported = |kind: String| PromptError::UnsupportedTokenizer {
            kind,
            supported: "65,536 special tokens of together 1 MiB are",
        };
        if tokens.len() > COUNT_MAX || text_bytes > TEXT_BYTES_MAX {
            let count = tokens.len();
            return Err(unsupported(format!("with {count} special tokens of {text_bytes} bytes")));
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(_, text)| text))
            .map_err(|error| {
                unsupported(format!("with special tokens that do not fit: {error}"))
            })?;
        Ok(Self { automaton, ids: tokens.iter().map(|&(id, _)| id).collect() })
    }
}
