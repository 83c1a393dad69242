use std::collections::BTreeMap;

use api_types::TokenLogprob;
use serde::Serialize;

/// Log probabilities as `/v1/completions` gives them: lists side by side.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f64>,
    top_logprobs: Vec<BTreeMap<String, f64>>,
    /// Where each token begins in the answer, in characters.
    text_offset: Vec<u64>,
}

impl TextLogprobs {
    /// Adds tokens; `offset` is where the first of them begins, and becomes where the next one will.
    pub(crate) fn add(&mut self, tokens: Vec<TokenLogprob>, offset: &mut u64) {
        for token in tokens {
            self.text_offset.push(*offset);
            *offset += token.token.chars().count() as u64;
            self.token_logprobs.push(token.logprob);
            let top = token.top_logprobs.into_iter().map(|other| (other.token, other.logprob));
            self.top_logprobs.push(top.collect());
            self.tokens.push(token.token);
        }
    }
}
