use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Longest answer that is read: 2048 texts of some 2500 numbers.
pub(crate) const EMBEDDINGS_BYTES_MAX: usize = 64 << 20;

/// An embedding request: every field that is ever sent.
#[derive(Debug, Serialize)]
pub(crate) struct EmbeddingRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) input: &'a [String],
    pub(crate) encoding_format: &'static str,
}

#[derive(Deserialize)]
struct EmbeddingList {
    data: Vec<Embedding>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u32>,
}

#[derive(Serialize)]
struct EmbeddingResult {
    embeddings: Vec<Vec<f32>>,
}

/// An answer that is not what the protocol says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("its embeddings are not what the protocol says")]
    Form(#[from] serde_json::Error),
    #[error("it did not give one embedding of finite numbers for each text")]
    Count,
}

/// Reads an answer to `count` texts: the result for the task, and the tokens that the engine counted.
pub(crate) fn read_embeddings(body: &[u8], count: usize) -> Result<(Bytes, Option<u32>), Unusable> {
    let list: EmbeddingList = serde_json::from_slice(body)?;
    let mut embeddings: Vec<Vec<f32>> = vec![Vec::new(); count];
    for one in list.data {
        let place = embeddings.get_mut(one.index).ok_or(Unusable::Count)?;
        let is_sound = !one.embedding.is_empty() && one.embedding.iter().all(|it| it.is_finite());
        if !place.is_empty() || !is_sound {
            return Err(Unusable::Count);
        }
        *place = one.embedding;
    }
    if embeddings.iter().any(Vec::is_empty) {
        return Err(Unusable::Count);
    }
    let result = serde_json::to_vec(&EmbeddingResult { embeddings })?;
    Ok((result.into(), list.usage.and_then(|usage| usage.prompt_tokens)))
}
