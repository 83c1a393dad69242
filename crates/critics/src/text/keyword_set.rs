use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Folding, Match, PatternError, word_boundary::is_whole_word};

/// Many keywords that are searched for in one pass, in time linear in the text.
///
/// Every occurrence of every keyword is found, overlapping ones too: a harmless keyword cannot hide a
/// severe one that it overlaps.
#[derive(Debug, Clone)]
pub struct KeywordSet {
    automaton: AhoCorasick,
    whole_words: Vec<bool>,
    folding: Folding,
}

/// A word or phrase to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyword {
    /// What is looked for.
    pub text: String,
    /// Only where it is no part of a longer word.
    pub is_whole_word: bool,
}

impl KeywordSet {
    /// Prepares the search; `folding` holds for keywords and text alike.
    ///
    /// # Errors
    /// A keyword that is empty once folded, or keywords too many for an automaton.
    pub fn new(keywords: &[Keyword], folding: Folding) -> Result<Self, PatternError> {
        let mut patterns = Vec::with_capacity(keywords.len());
        for (index, keyword) in keywords.iter().enumerate() {
            let folded = folding.fold(&keyword.text).text().to_owned();
            if folded.is_empty() {
                return Err(PatternError::EmptyKeyword { index });
            }
            patterns.push(folded);
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            // Faster than the other kinds for many keywords, see `benches/scan.rs`.
            .kind((keywords.len() <= DFA_KEYWORDS_MAX).then_some(AhoCorasickKind::DFA))
            .ascii_case_insensitive(folding.case)
            .build(&patterns)
            .map_err(PatternError::TooManyKeywords)?;
        let whole_words = keywords.iter().map(|keyword| keyword.is_whole_word).collect();
        Ok(Self { automaton, whole_words, folding })
    }

    /// Hands every occurrence to `found`, in the order of their ends, until it returns false.
    pub fn search(&self, text: &str, mut found: impl FnMut(Match) -> bool) {
        if text.is_ascii() {
            // The automaton looks past the case itself; ASCII has nothing else to fold.
            self.search_folded(text, found);
        } else {
            let folded = self.folding.fold(text);
            self.search_folded(folded.text(), |one| {
                found(Match { span: folded.original(one.span), ..one })
            });
        }
    }

    fn search_folded(&self, text: &str, mut found: impl FnMut(Match) -> bool) {
        for one in self.automaton.find_overlapping_iter(text) {
            let (pattern, span) = (one.pattern().as_usize(), one.span().range());
            let counts = !self.whole_words[pattern] || is_whole_word(text, &span);
            if counts && !found(Match { pattern, span }) {
                return;
            }
        }
    }
}

/// Most keywords that a DFA is built for: its memory grows with all their characters.
const DFA_KEYWORDS_MAX: usize = 2000;
