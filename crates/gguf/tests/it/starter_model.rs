use std::fs::File;
use std::path::Path;

use gguf::testing::TrackingAllocator;
use gguf::{GgmlType, Header};

fn open() -> File {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = workspace.join("target/setup/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    File::open(&model)
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask setup", model.display()))
}

#[test]
fn the_starter_models_header_is_read_as_published() {
    let header = Header::read(open()).unwrap();
    assert_eq!((header.version, header.alignment, header.data_offset), (3, 32, 1_785_664));
    assert_eq!((header.metadata.len(), header.tensors.len()), (33, 272));

    assert_eq!(header.architecture().unwrap(), "llama");
    assert_eq!(header.context_length().unwrap(), 8_192);
    assert_eq!(header.block_count().unwrap(), 30);
    assert_eq!(header.embedding_length().unwrap(), 576);
    assert_eq!(header.head_counts().unwrap(), [9; 30]);
    assert_eq!(header.head_count_kv().unwrap(), 3);
    assert_eq!(header.quantization(), Some("Q4_1"));
    // 30 blocks, 3 heads, keys and values of 64 numbers in half precision.
    assert_eq!(header.kv_bytes_per_token(2).unwrap(), 30 * 3 * 64 * 2 * 2);
    // Every tensor of this file fills whole alignments, so they are all there is behind the header.
    assert_eq!(header.weights_bytes(), 98_362_432 - header.data_offset);

    assert_eq!(header.tokenizer_model().unwrap(), "gpt2");
    assert_eq!(header.tokenizer_pre().unwrap(), Some("smollm"));
    let tokens = header.metadata.str_array("tokenizer.ggml.tokens").unwrap();
    assert_eq!((tokens.len(), tokens.get(1)), (49_152, Some("<|im_start|>")));
    assert_eq!(header.metadata.str_array("tokenizer.ggml.merges").unwrap().len(), 48_900);
    assert!(header.chat_template().unwrap().unwrap().starts_with("{% for message in messages %}"));

    let embedding = &header.tensors[0];
    assert_eq!(
        (embedding.name.as_str(), embedding.dims.as_slice()),
        ("token_embd.weight", &[576, 49_152][..])
    );
    assert_eq!((embedding.ggml_type, embedding.offset), (GgmlType::Q8_0, 1_785_664));
    assert_eq!(embedding.size_bytes, 30_081_024);
    let norm = header.tensor("output_norm.weight").unwrap();
    assert_eq!((norm.dims.as_slice(), norm.ggml_type), (&[576][..], GgmlType::F32));
    // The last tensor ends with the file.
    assert_eq!(norm.offset + norm.size_bytes, 98_362_432);
}

/// The header holds 49,152 tokens and their merges; what is kept of it is about as large as it is.
#[test]
fn the_starter_models_header_costs_little_memory() {
    let (header, held) = TrackingAllocator::peak_of(|| Header::read(open()).unwrap());
    let header_bytes = usize::try_from(header.data_offset).unwrap();
    assert!(held < 3 * header_bytes, "{held} bytes held for a header of {header_bytes}");
}
