use std::collections::BTreeMap;

use api_types::{Alternative, TokenLogprob};
use bytes::Bytes;
use serde::Deserialize;

/// Log probabilities as engines send them: a list of entries for chats, lists side by side for plain
/// completions. Some engines send the first form for both.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sent {
    Lists(Lists),
    Entries { content: Option<Vec<TokenLogprob>> },
}

#[derive(Deserialize)]
struct Lists {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f64>>,
    top_logprobs: Option<Vec<Option<BTreeMap<String, f64>>>>,
}

/// The entries as a JSON list; `None` where there are none.
pub(crate) fn entries(json: &str) -> Result<Option<Bytes>, serde_json::Error> {
    let entries = match serde_json::from_str::<Option<Sent>>(json)? {
        None => return Ok(None),
        Some(Sent::Entries { content }) => content.unwrap_or_default(),
        Some(Sent::Lists(lists)) => lists.entries(),
    };
    if entries.is_empty() {
        return Ok(None);
    }
    serde_json::to_vec(&entries).map(|list| Some(list.into()))
}

impl Lists {
    fn entries(self) -> Vec<TokenLogprob> {
        let mut tops = self.top_logprobs.unwrap_or_default().into_iter();
        let pairs = self.tokens.into_iter().zip(self.token_logprobs);
        pairs
            .map(|(token, logprob)| {
                let mut top: Vec<Alternative> = tops
                    .next()
                    .flatten()
                    .into_iter()
                    .flatten()
                    .map(|(token, logprob)| Alternative { token, logprob, bytes: None })
                    .collect();
                top.sort_by(|one, other| other.logprob.total_cmp(&one.logprob));
                // The first token of a prompt has none; there is no prompt here.
                let logprob = logprob.unwrap_or_default();
                TokenLogprob { token, logprob, bytes: None, top_logprobs: top }
            })
            .collect()
    }
}
