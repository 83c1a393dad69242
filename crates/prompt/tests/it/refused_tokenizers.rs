use gguf::testing::Builder;
use gguf::{Array, Value};
use prompt::PromptError;

use crate::models::{read, tiny_builder};

fn set(key: &str, value: Value) -> PromptError {
    read(&tiny_builder().set(key, value)).unwrap_err()
}

fn text(text: &str) -> Value {
    Value::Str(text.to_owned())
}

/// Verifies: ORCH-027
#[test]
fn a_tokenizer_that_is_not_known_exactly_is_refused() {
    for kind in ["llama", "bert", "t5", "rwkv", "plamo2", "no-such"] {
        let error = set("tokenizer.ggml.model", text(kind));
        assert!(matches!(error, PromptError::UnsupportedTokenizer { .. }), "{kind}: {error}");
    }
    for pre in ["default", "tekken", "deepseek-v3", "gpt-4o", "no-such", ""] {
        let error = set("tokenizer.ggml.pre", text(pre));
        assert!(matches!(error, PromptError::UnsupportedTokenizer { .. }), "{pre}: {error}");
    }
    let error = read(&tiny_builder().without("tokenizer.ggml.pre")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tokenizer `gpt2` without a pre-tokenizer is not supported; the pre-tokenizers smollm, gpt-2, \
         llama-bpe and qwen2 are"
    );
}

#[test]
fn tables_that_contradict_each_other_are_refused() {
    let invalid = |error: PromptError| {
        assert!(matches!(error, PromptError::InvalidVocabulary { .. }), "{error}");
    };
    invalid(set("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![1]))));
    invalid(set("tokenizer.ggml.bos_token_id", Value::U32(259)));
    invalid(set("tokenizer.ggml.eos_token_id", Value::U32(u32::MAX)));
    for merge in ["", "a", "ab", " "] {
        invalid(set(
            "tokenizer.ggml.merges",
            Value::Array(Array::Str([merge].into_iter().collect())),
        ));
    }
    let none = Array::Str(Default::default());
    invalid(
        read(
            &tiny_builder()
                .set("tokenizer.ggml.tokens", Value::Array(none))
                .without("tokenizer.ggml.token_type"),
        )
        .unwrap_err(),
    );
}

#[test]
fn tables_that_are_missing_or_of_another_type_are_refused() {
    for key in ["tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"] {
        let error = read(&tiny_builder().without(key)).unwrap_err();
        assert!(matches!(error, PromptError::Header(_)), "{key}: {error}");
    }
    for key in [
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.chat_template",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.bos_token_id",
    ] {
        let error = set(key, Value::F32(1.0));
        assert!(matches!(error, PromptError::Header(_)), "{key}: {error}");
    }
}

#[test]
fn too_many_special_tokens_are_refused() {
    let texts: Vec<String> = (0..70_000).map(|index| format!("<{index}>")).collect();
    let builder: Builder = tiny_builder()
        .set("tokenizer.ggml.tokens", Value::Array(Array::Str(texts.iter().collect())))
        .set("tokenizer.ggml.token_type", Value::Array(Array::U8(vec![4; 70_000])));
    let error = read(&builder).unwrap_err();
    assert!(matches!(error, PromptError::UnsupportedTokenizer { .. }), "{error}");
}
