//! Models that the tests share.

use std::fs::File;
use std::path::Path;
use std::sync::LazyLock;

use gguf::testing::Builder;
use gguf::{Array, Header, Value};
use prompt::PromptModel;

static STARTER_HEADER: LazyLock<Header> = LazyLock::new(|| {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = workspace.join("target/setup/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let file = File::open(&model)
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask setup", model.display()));
    Header::read(file).unwrap()
});

static STARTER: LazyLock<PromptModel> =
    LazyLock::new(|| PromptModel::from_gguf(&STARTER_HEADER).unwrap());

/// The starter model.
pub(crate) fn starter() -> PromptModel {
    STARTER.clone()
}

/// The starter model's header as a builder, without its tensors.
pub(crate) fn starter_builder() -> Builder {
    Builder::with_metadata(&STARTER_HEADER.metadata)
}

/// A model of the 256 bytes, one merge and two control tokens, with `template`.
pub(crate) fn tiny_builder() -> Builder {
    let bytes = (0_u8..=255).map(|byte| {
        // Written out from the definition of GPT-2's alphabet, not taken from the crate.
        let printable =
            (b'!'..=b'~').contains(&byte) || (0xa1..=0xac).contains(&byte) || byte >= 0xae;
        let before = (0..byte)
            .filter(|&b| !((b'!'..=b'~').contains(&b) || (0xa1..=0xac).contains(&b) || b >= 0xae));
        let moved = char::from_u32(0x100 + u32::try_from(before.count()).unwrap()).unwrap();
        if printable { char::from(byte).to_string() } else { moved.to_string() }
    });
    let tokens: Vec<String> = ["<s>".to_owned(), "</s>".to_owned()]
        .into_iter()
        .chain(bytes)
        .chain(["ab".to_owned()])
        .collect();
    let mut kinds = vec![1; tokens.len()];
    kinds[..2].fill(3);
    Builder::tiny_llama()
        .texts("tokenizer.ggml.merges", ["a b"])
        .set("tokenizer.ggml.tokens", Value::Array(Array::Str(tokens.iter().collect())))
        .set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)))
        .text("tokenizer.ggml.pre", "gpt-2")
        .pair("tokenizer.ggml.bos_token_id", Value::U32(0))
        .pair("tokenizer.ggml.eos_token_id", Value::U32(1))
}

/// What `builder` writes, read as a model.
pub(crate) fn read(builder: &Builder) -> Result<PromptModel, prompt::PromptError> {
    let file = builder.build();
    PromptModel::from_gguf(&Header::parse(&file, file.len() as u64).unwrap())
}

/// The tiny model with a chat template.
pub(crate) fn with_template(template: &str) -> PromptModel {
    read(&tiny_builder().text("tokenizer.chat_template", template)).unwrap()
}
