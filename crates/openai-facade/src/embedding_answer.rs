use serde::{Deserialize, Serialize};

use crate::{EmbeddingEncoding, EventProblem};

/// What a task of workload embedding gave.
#[derive(Deserialize)]
struct EmbeddingResult {
    embeddings: Vec<Vec<f32>>,
}

/// The official list of embeddings.
#[derive(Serialize)]
struct EmbeddingList<'a> {
    object: &'static str,
    data: Vec<EmbeddingObject>,
    model: &'a str,
    usage: EmbeddingUsage,
}

#[derive(Serialize)]
struct EmbeddingObject {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct EmbeddingUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The answer of `POST /v1/embeddings`, from the `result` of the task, as JSON. `tokens_in` is 0 where the
/// engine did not count.
///
/// # Errors
/// `result` is not one of an embedding.
pub fn embedding_answer(
    model: &str,
    encoding: EmbeddingEncoding,
    tokens_in: Option<u64>,
    result: &[u8],
) -> Result<Vec<u8>, EventProblem> {
    let result: EmbeddingResult =
        serde_json::from_slice(result).map_err(EventProblem::of("end"))?;
    let tokens = tokens_in.unwrap_or_default();
    let data = result.embeddings.into_iter().enumerate().map(|(index, numbers)| {
        let embedding = match encoding {
            EmbeddingEncoding::Float => Numbers::Float(numbers),
            EmbeddingEncoding::Base64 => {
                let bytes: Vec<u8> =
                    numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                Numbers::Base64(base64(&bytes))
            }
        };
        EmbeddingObject { object: "embedding", index, embedding }
    });
    let list = EmbeddingList {
        object: "list",
        data: data.collect(),
        model,
        usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
    };
    Ok(serde_json::to_vec(&list).expect("the object is JSON"))
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
