use gguf::testing::Builder;
use gguf::{Array, GgufError, Header, Value};

fn parse(builder: &Builder) -> Header {
    let file = builder.build();
    Header::parse(&file, file.len() as u64).unwrap()
}

#[test]
fn a_cache_needs_keys_and_values_of_every_block() {
    let header = parse(&Builder::tiny_llama());
    // 2 blocks, 2 key-value heads, 32 / 4 numbers in a head, keys and values, 2 bytes each.
    assert_eq!(header.kv_bytes_per_token(2).unwrap(), 2 * 2 * 8 * 2 * 2);
    assert_eq!(header.head_count_kv().unwrap(), 2);
    assert_eq!(header.quantization(), Some("Q4_1"));
    assert_eq!(header.chat_template().unwrap(), None);
    assert_eq!(header.tokenizer_model().unwrap(), "gpt2");
    assert_eq!(header.tokenizer_pre().unwrap(), None);
}

#[test]
fn named_head_lengths_and_heads_per_block_are_used() {
    let header = parse(
        &Builder::tiny_llama()
            .set("llama.attention.head_count_kv", Value::Array(Array::I32(vec![4, 0])))
            .set("llama.attention.key_length", Value::U32(16))
            .set("llama.attention.value_length", Value::U32(4)),
    );
    assert_eq!(header.head_counts_kv().unwrap(), [4, 0]);
    assert_eq!(header.kv_bytes_per_token(4).unwrap(), 4 * (16 + 4) * 4);
}

#[test]
fn without_key_value_heads_the_attention_heads_count() {
    let header = parse(&Builder::tiny_llama().without("llama.attention.head_count_kv"));
    assert_eq!(header.head_counts_kv().unwrap(), [4, 4]);
}

/// Verifies: ORCH-166
#[test]
fn facts_that_make_no_sense_are_errors() {
    let set = |key: &str, value| parse(&Builder::tiny_llama().set(key, value));
    let header = set("llama.attention.head_count_kv", Value::Array(Array::U32(vec![1, 2, 3])));
    assert!(matches!(header.kv_bytes_per_token(2), Err(GgufError::InvalidFact { .. })));
    let header = set("llama.block_count", Value::U32(u32::MAX));
    assert!(matches!(header.kv_bytes_per_token(2), Err(GgufError::InvalidFact { .. })));
    let header = set("llama.block_count", Value::U32(0));
    assert!(matches!(header.head_count_kv(), Err(GgufError::InvalidFact { .. })));
    let header = set("llama.attention.head_count", Value::U32(0));
    assert!(matches!(header.kv_bytes_per_token(2), Err(GgufError::InvalidFact { .. })));
    let header = set("llama.context_length", Value::I32(-1));
    assert!(matches!(header.context_length(), Err(GgufError::WrongType { .. })));
    let header = set("llama.context_length", Value::U32(0));
    assert!(matches!(header.context_length(), Err(GgufError::InvalidFact { .. })));
    let header = set("tokenizer.chat_template", Value::U32(1));
    assert!(matches!(header.chat_template(), Err(GgufError::WrongType { .. })));
    let header = parse(&Builder::tiny_llama());
    assert!(matches!(header.kv_bytes_per_token(u64::MAX), Err(GgufError::InvalidFact { .. })));
    let header = parse(&Builder::new());
    assert!(matches!(header.context_length(), Err(GgufError::MissingKey { .. })));
}
