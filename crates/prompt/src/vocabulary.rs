use gguf::{Metadata, StringArray};

use crate::{PromptError, byte_alphabet};

/// Codes of `tokenizer.ggml.token_type` (`llama_token_type` in llama.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    /// Unused, byte and undefined tokens, which never stand for text here.
    Silent,
}

/// The tokens of a model: what they are written as, and the bytes that they stand for.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    texts: StringArray,
    kinds: Vec<TokenKind>,
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    byte_ends: Vec<usize>,
    longest_bytes: usize,
}

impl Vocabulary {
    pub(crate) fn read(metadata: &Metadata) -> Result<Self, PromptError> {
        let texts = metadata.str_array("tokenizer.ggml.tokens")?.clone();
        if texts.is_empty() {
            return Err(PromptError::InvalidVocabulary { reason: "no tokens".to_owned() });
        }
        let kinds = read_kinds(metadata, &texts)?;
        let (mut bytes, mut byte_ends) = (Vec::new(), Vec::with_capacity(texts.len()));
        for (text, kind) in texts.iter().zip(&kinds) {
            match kind {
                TokenKind::Normal => bytes.extend(decode(text)),
                TokenKind::UserDefined => bytes.extend(text.as_bytes()),
                TokenKind::Control | TokenKind::Unknown | TokenKind::Silent => {}
            }
            byte_ends.push(bytes.len());
        }
        // A control token replaces its own text; no other token replaces more than its text has either.
        let longest_bytes = texts.iter().map(str::len).max().unwrap_or(0).max(1);
        Ok(Self { texts, kinds, bytes, byte_ends, longest_bytes })
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize)
    }

    pub(crate) fn bytes(&self, id: u32) -> Option<&[u8]> {
        let index = id as usize;
        let end = *self.byte_ends.get(index)?;
        let start = if index == 0 { 0 } else { self.byte_ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    /// The most bytes of a text that one token can replace; at least 1.
    pub(crate) fn longest_bytes(&self) -> usize {
        self.longest_bytes
    }

    /// All tokens: id, text and kind.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &str, TokenKind)> {
        let tokens = self.texts.iter().zip(&self.kinds);
        (0_u32..).zip(tokens).map(|(id, (text, &kind))| (id, text, kind))
    }

    /// The id under `key`, when the file names one; it must be a token.
    pub(crate) fn named_id(
        &self,
        metadata: &Metadata,
        key: &str,
    ) -> Result<Option<u32>, PromptError> {
        if metadata.get(key).is_none() {
            return Ok(None);
        }
        let id = metadata.u32(key)?;
        if (id as usize) < self.len() {
            return Ok(Some(id));
        }
        let reason = format!("{key} is {id}, and there are {} tokens", self.len());
        Err(PromptError::InvalidVocabulary { reason })
    }
}

/// Texts that end a turn. Files often forget to mark these as control tokens, so llama.cpp marks them by
/// their text, and so does this.
pub(crate) const END_OF_GENERATION_TEXTS: [&str; 12] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "<|end_of_text|>",
    "<end_of_utterance>",
];

fn read_kinds(metadata: &Metadata, texts: &StringArray) -> Result<Vec<TokenKind>, PromptError> {
    const KEY: &str = "tokenizer.ggml.token_type";
    let codes = match metadata.get(KEY) {
        Some(_) => metadata.u64_array(KEY)?,
        None => vec![1; texts.len()],
    };
    if codes.len() != texts.len() {
        let reason = format!("{} token types for {} tokens", codes.len(), texts.len());
        return Err(PromptError::InvalidVocabulary { reason });
    }
    let kind = |(text, code): (&str, u64)| match code {
        _ if END_OF_GENERATION_TEXTS.contains(&text) => TokenKind::Control,
        1 => TokenKind::Normal,
        2 => TokenKind::Unknown,
        3 => TokenKind::Control,
        4 => TokenKind::UserDefined,
        _ => TokenKind::Silent,
    };
    Ok(texts.iter().zip(codes).map(kind).collect())
}

/// The bytes of a token's text. Characters outside the byte alphabet stand for themselves.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte_alphabet::byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}
