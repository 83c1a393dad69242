//! Token ids against llama.cpp's, from the table that `data/make_token_table.py` makes.

use std::collections::BTreeMap;

use gguf::Value;
use serde::Deserialize;

use crate::models::{read, starter_builder};

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    text: String,
    parse_special: bool,
    /// By pre-tokenizer.
    ids: BTreeMap<String, Vec<u32>>,
}

fn check(pre_tokenizer: &str) {
    let table: Table = serde_json::from_str(include_str!("data/smollm2_tokens.json")).unwrap();
    assert!(table.rows.len() >= 500, "the table is cut short");
    let value = Value::Str(pre_tokenizer.to_owned());
    let model = read(&starter_builder().set("tokenizer.ggml.pre", value)).unwrap();
    let wrong: Vec<String> = table
        .rows
        .iter()
        .filter_map(|row| {
            let (found, expected) =
                (model.encode(&row.text, row.parse_special), &row.ids[pre_tokenizer]);
            (found != *expected).then(|| format!("{:?}\n  {found:?}\n  {expected:?}", row.text))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.rows.len(), wrong.join("\n"));
}

/// Verifies: ORCH-027
#[test]
fn smollm_gives_the_ids_of_llama_cpp() {
    check("smollm");
}

#[test]
fn gpt_2_gives_the_ids_of_llama_cpp() {
    check("gpt-2");
}

#[test]
fn llama_bpe_gives_the_ids_of_llama_cpp() {
    check("llama-bpe");
}

#[test]
fn qwen2_gives_the_ids_of_llama_cpp() {
    check("qwen2");
}
