use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use gguf::Metadata;

use crate::vocabulary::Vocabulary;
use crate::{PromptError, byte_alphabet};

/// No symbol: a byte that the vocabulary cannot write, or no neighbour.
const NONE: u32 = u32::MAX;

/// Byte-pair encoding over bytes: a piece starts as one symbol for each byte, and the pair whose merge was
/// learned first is merged until no pair is left that was.
#[derive(Debug)]
pub(crate) struct Bpe {
    /// The symbol of each byte.
    bytes: [u32; 256],
    merges: HashMap<(u32, u32), Merge>,
    /// Symbols below this are tokens with the same id. The others are parts of merges that are no tokens;
    /// `part_bytes` has what they stand for.
    token_count: u32,
    part_bytes: Vec<Vec<u8>>,
    /// Tokens by text, where a whole piece may be a token whatever the merges say.
    whole_pieces: Option<HashMap<String, u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Merge {
    rank: u32,
    symbol: u32,
}

impl Bpe {
    pub(crate) fn read(
        metadata: &Metadata,
        vocabulary: &Vocabulary,
        ignores_merges: bool,
    ) -> Result<Self, PromptError> {
        let texts = metadata.str_array("tokenizer.ggml.merges")?;
        let too_many = |what: &str, count: usize| PromptError::InvalidVocabulary {
            reason: format!("{count} {what} are too many"),
        };
        let token_count = u32::try_from(vocabulary.len())
            .map_err(|_over| too_many("tokens", vocabulary.len()))?;
        let mut symbols: HashMap<String, u32> =
            vocabulary.iter().map(|(id, text, _)| (text.to_owned(), id)).collect();
        let mut part_bytes = Vec::new();
        let mut symbol_of = |text: &str| -> Result<u32, PromptError> {
            if let Some(&symbol) = symbols.get(text) {
                return Ok(symbol);
            }
            let symbol = u32::try_from(part_bytes.len())
                .ok()
                .and_then(|parts| token_count.checked_add(parts))
                .filter(|&symbol| symbol != NONE)
                .ok_or_else(|| too_many("merges", texts.len()))?;
            part_bytes.push(text.chars().filter_map(byte_alphabet::byte_of).collect());
            symbols.insert(text.to_owned(), symbol);
            Ok(symbol)
        };
        let mut merges = HashMap::with_capacity(texts.len());
        for (rank, text) in (0_u32..).zip(texts.iter()) {
            // The first of the two is at least one character, which may be a blank.
            let first_len = text.chars().next().map_or(0, char::len_utf8);
            let Some(blank) = text[first_len..].find(' ').map(|at| first_len + at) else {
                let reason = format!("merge {rank} `{text}` is not two symbols");
                return Err(PromptError::InvalidVocabulary { reason });
            };
            let (left, right) = (&text[..blank], &text[blank + 1..]);
            let pair = (symbol_of(left)?, symbol_of(right)?);
            let symbol = symbol_of(&format!("{left}{right}"))?;
            merges.entry(pair).or_insert(Merge { rank, symbol });
        }
        let mut bytes = [NONE; 256];
        for (byte, slot) in (0_u8..=255).zip(&mut bytes) {
            let text = byte_alphabet::char_of(byte).to_string();
            *slot = symbols.get(&text).copied().unwrap_or(NONE);
        }
        let whole_pieces = ignores_merges.then(|| {
            symbols.retain(|_, symbol| *symbol < token_count);
            symbols
        });
        Ok(Self { bytes, merges, token_count, part_bytes, whole_pieces })
    }

    /// Whether a token stands for `byte` alone.
    pub(crate) fn has_token(&self, byte: u8) -> bool {
        self.bytes[usize::from(byte)] < self.token_count
    }

    /// Appends the tokens of one piece of text to `ids`. Bytes that no token stands for are left out.
    pub(crate) fn encode(&self, piece: &str, work: &mut MergeWork, ids: &mut Vec<u32>) {
        if let Some(tokens) = &self.whole_pieces {
            let text: String = piece.bytes().map(byte_alphabet::char_of).collect();
            if let Some(&id) = tokens.get(&text) {
                ids.push(id);
                return;
            }
        }
        work.start(piece, &self.bytes);
        for left in 0..work.symbols.len() {
            self.offer(left, work);
        }
        while let Some(Reverse(candidate)) = work.queue.pop() {
            if work.is_current(&candidate) {
                work.merge(&candidate);
                let left = candidate.left as usize;
                self.offer(left, work);
                let before = work.symbols[left].previous;
                if before != NONE {
                    self.offer(before as usize, work);
                }
            }
        }
        for symbol in &work.symbols {
            if symbol.is_merged_away || symbol.id == NONE {
                continue;
            }
            if symbol.id < self.token_count {
                ids.push(symbol.id);
            } else {
                let part = (symbol.id - self.token_count) as usize;
                let tokens =
                    self.part_bytes[part].iter().map(|&byte| self.bytes[usize::from(byte)]);
                ids.extend(tokens.filter(|&id| id < self.token_count));
            }
        }
    }

    /// Queues the merge of the symbol at `left` with the one behind it, if there is one.
    fn offer(&self, left: usize, work: &mut MergeWork) {
        let right = work.symbols[left].next;
        if right == NONE {
            return;
        }
        let pair = (work.symbols[left].id, work.symbols[right as usize].id);
        if let Some(&Merge { rank, symbol }) = self.merges.get(&pair) {
            let left = position(left);
            work.queue.push(Reverse(Candidate { rank, left, right, pair, symbol }));
        }
    }
}

/// A merge that was possible when it was queued. The lowest rank goes first, then the leftmost.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    right: u32,
    pair: (u32, u32),
    symbol: u32,
}

/// A symbol of the piece, linked to its neighbours by position. The links are half the size of `usize`s:
/// a long piece is bound by memory.
#[derive(Debug)]
struct Symbol {
    /// `NONE` for a byte without a token.
    id: u32,
    /// `NONE` for the first.
    previous: u32,
    /// `NONE` for the last.
    next: u32,
    is_merged_away: bool,
}

/// Buffers of one encoding, used again for each piece.
#[derive(Debug, Default)]
pub(crate) struct MergeWork {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

impl MergeWork {
    fn start(&mut self, piece: &str, byte_symbols: &[u32; 256]) {
        self.queue.clear();
        self.symbols.clear();
        let last = piece.len().saturating_sub(1);
        self.symbols.extend(piece.bytes().enumerate().map(|(at, byte)| Symbol {
            id: byte_symbols[usize::from(byte)],
            previous: at.checked_sub(1).map_or(NONE, position),
            next: if at < last { position(at + 1) } else { NONE },
            is_merged_away: false,
        }));
    }

    /// Whether neither side has changed since the candidate was queued.
    fn is_current(&self, candidate: &Candidate) -> bool {
        let (left, right) =
            (&self.symbols[candidate.left as usize], &self.symbols[candidate.right as usize]);
        !left.is_merged_away && !right.is_merged_away && (left.id, right.id) == candidate.pair
    }

    fn merge(&mut self, candidate: &Candidate) {
        let right = &mut self.symbols[candidate.right as usize];
        right.is_merged_away = true;
        let after = right.next;
        let left = &mut self.symbols[candidate.left as usize];
        left.id = candidate.symbol;
        left.next = after;
        if after != NONE {
            self.symbols[after as usize].previous = candidate.left;
        }
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("a piece is shorter than 4 GiB")
}
