use gguf::{Array, Value};
use prompt::PromptModel;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use crate::models::{read, starter, tiny_builder};

const CHAT: &str = "<|im_start|>user\nName three colors.<|im_end|>\n<|im_start|>assistant\n";

fn decoded(model: &PromptModel, ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|&id| model.token_bytes(id).unwrap()).copied().collect()
}

/// Verifies: ORCH-027
#[test]
fn a_rendered_chat_has_the_ids_that_the_model_was_trained_on() {
    let ids = [1, 4093, 198, 5820, 1296, 4683, 30, 2, 198, 1, 520, 9531, 198];
    assert_eq!(starter().encode(CHAT, true), ids);
    assert_eq!(starter().encode_prompt(CHAT), ids);
}

#[test]
fn facts_of_the_starter_model() {
    let model = starter();
    assert_eq!(model.vocab_size(), 49_152);
    assert_eq!(model.context_length(), Some(8_192));
    assert!(model.is_end_of_generation(2), "<|im_end|>");
    assert!(model.is_end_of_generation(0), "<|endoftext|>");
    assert!(!model.is_end_of_generation(1), "<|im_start|>");
    assert!(!model.is_end_of_generation(198));
    assert_eq!(model.token_bytes(198), Some(&b"\n"[..]));
    assert_eq!(model.token_bytes(4_683), Some(&b" colors"[..]));
    assert_eq!(model.token_bytes(2), Some(&b""[..]));
    assert_eq!(model.token_bytes(49_152), None);
}

#[test]
fn control_tokens_are_found_only_when_they_are_asked_for() {
    let model = starter();
    assert_eq!(model.encode("a<|im_end|>b", true), [81, 2, 82]);
    let spelt = model.encode("a<|im_end|>b", false);
    assert!(!spelt.contains(&2));
    assert_eq!(decoded(&model, &spelt), b"a<|im_end|>b");
}

#[test]
fn user_defined_tokens_are_always_found_and_the_longest_wins() {
    let mut kinds = vec![1; 261];
    kinds[..2].fill(3);
    kinds[259..].fill(4);
    let tokens = |builder: &gguf::testing::Builder| {
        let file = builder.build();
        let header = gguf::Header::parse(&file, file.len() as u64).unwrap();
        let texts = header.metadata.str_array("tokenizer.ggml.tokens").unwrap();
        texts.iter().map(str::to_owned).chain(["<t>".into(), "<t>>".into()]).collect::<Vec<_>>()
    };
    let builder = tiny_builder();
    let texts = tokens(&builder);
    let model = read(
        &builder
            .set("tokenizer.ggml.tokens", Value::Array(Array::Str(texts.iter().collect())))
            .set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds))),
    )
    .unwrap();
    assert_eq!(model.encode("<t><t>><s>", false)[..2], [259, 260]);
    assert_eq!(model.encode("<t><t>><s>", true), [259, 260, 0]);
    assert_eq!(model.token_bytes(260), Some(&b"<t>>"[..]));
}

#[test]
fn the_first_and_last_token_are_added_where_the_file_asks_and_only_once() {
    let model = |bos: bool, eos: bool| {
        read(
            &tiny_builder()
                .set("tokenizer.ggml.add_bos_token", Value::Bool(bos))
                .set("tokenizer.ggml.add_eos_token", Value::Bool(eos)),
        )
        .unwrap()
    };
    let ab = 258;
    assert_eq!(model(false, false).encode_prompt("ab"), [ab]);
    assert_eq!(model(true, false).encode_prompt("ab"), [0, ab]);
    assert_eq!(model(true, true).encode_prompt("ab"), [0, ab, 1]);
    assert_eq!(model(true, true).encode_prompt("<s>ab</s>"), [0, ab, 1]);
    assert_eq!(model(true, true).encode("ab", true), [ab]);
}

/// llama-bpe models ask for a first token unless they say otherwise.
#[test]
fn without_a_word_in_the_file_the_pre_tokenizer_says_whether_there_is_a_first_token() {
    let pre = |name: &str| {
        let builder = tiny_builder().without("tokenizer.ggml.add_bos_token");
        read(&builder.set("tokenizer.ggml.pre", Value::Str(name.to_owned()))).unwrap()
    };
    assert_eq!(pre("llama-bpe").encode_prompt("ab"), [0, 258]);
    assert_eq!(pre("qwen2").encode_prompt("ab"), [258]);
}

/// Llama 3 takes a piece that is a token as it is. Here no merge leads to `abc`.
#[test]
fn whole_pieces_are_tokens_only_where_the_rule_says_so() {
    let model = |pre: &str| {
        let file = tiny_builder().build();
        let header = gguf::Header::parse(&file, file.len() as u64).unwrap();
        let texts = header.metadata.str_array("tokenizer.ggml.tokens").unwrap();
        let texts: Vec<&str> = texts.iter().chain(["abc"]).collect();
        let builder = tiny_builder()
            .set("tokenizer.ggml.tokens", Value::Array(Array::Str(texts.iter().collect())))
            .without("tokenizer.ggml.token_type")
            .set("tokenizer.ggml.pre", Value::Str(pre.to_owned()));
        read(&builder).unwrap()
    };
    assert_eq!(model("llama-bpe").encode("abc", false), [259]);
    assert_eq!(model("qwen2").encode("abc", false), [258, 2 + u32::from(b'c')]);
}

/// The starter model has no token for a few bytes, as its table against llama.cpp shows.
#[test]
fn bytes_without_a_token_are_left_out() {
    let model = starter();
    assert_eq!(model.encode("\u{4}", false), Vec::<u32>::new());
    assert_eq!(model.encode("a\u{13}b", false), [81, 82]);
}

/// Verifies: ORCH-027
#[test]
fn a_prompt_far_beyond_the_context_is_known_without_its_tokens() {
    let model = starter();
    assert!(model.tokens_min(&"word ".repeat(1 << 20)) > 8_192);
    assert_eq!(model.tokens_min(""), 0);
    assert_eq!(model.tokens_min("\u{4}"), 0);
    assert_eq!(model.tokens_min("a"), 1);
}

/// A long piece must not cost its length squared. The merges of a million blanks and letters take
/// seconds at most; a quadratic encoder would take hours.
#[test]
fn a_megabyte_of_one_piece_is_encoded() {
    let model = starter();
    for text in [" ".repeat(1 << 20), "a".repeat(1 << 20), "ab1 \n".repeat(1 << 18)] {
        assert_eq!(decoded(&model, &model.encode(&text, true)), text.as_bytes());
    }
}

/// Characters whose bytes all have tokens in the starter model.
fn encodable() -> impl Strategy<Value = String> {
    let lacks = |byte: &u8| matches!(byte, 0x04 | 0x06 | 0x13 | 0x14 | 0x16 | 0x1d | 0xf1 | 0xf2);
    any::<String>().prop_map(move |text| {
        text.chars().filter(|c| !c.to_string().as_bytes().iter().any(lacks)).collect()
    })
}

proptest! {
    #![proptest_config(Config {
        cases: 400,
        rng_seed: RngSeed::Fixed(27),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn tokens_stand_for_the_text_that_they_were_made_from(text in encodable()) {
        let model = starter();
        let ids = model.encode(&text, false);
        prop_assert_eq!(decoded(&model, &ids), text.as_bytes());
    }

    /// Verifies: ORCH-027
    #[test]
    fn the_least_number_of_tokens_is_never_above_the_number(
        text in any::<String>(),
        repeat in 1_usize..40,
        blanks in 0_usize..200,
    ) {
        let model = starter();
        let text = (text + "<|im_end|>" + &" ".repeat(blanks)).repeat(repeat);
        prop_assert!(model.tokens_min(&text) <= model.encode(&text, true).len());
    }

    #[test]
    fn blanks_digits_and_quotes_come_back_whole(text in "[ \t\r\n'a-cS0-9!\u{a0}\u{301}é]{0,40}") {
        let model = starter();
        prop_assert_eq!(decoded(&model, &model.encode(&text, false)), text.as_bytes());
    }
}
