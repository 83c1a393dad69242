use std::io::Cursor;

use gguf::testing::Builder;
use gguf::{Array, GgmlType, GgufError, Header, Value};

fn parse(file: &[u8]) -> Header {
    Header::parse(file, file.len() as u64).unwrap()
}

#[test]
fn versions_2_and_3_read_alike() {
    for version in [2, 3] {
        let header = parse(&Builder::tiny_llama().version(version).build());
        assert_eq!(header.version, version);
        assert_eq!(header.architecture().unwrap(), "llama");
        assert_eq!(header.tensors.len(), 3);
    }
}

#[test]
fn tensors_are_placed_in_absolute_bytes() {
    let file = Builder::tiny_llama().build();
    let header = parse(&file);
    let embedding = header.tensor("token_embd.weight").unwrap();
    assert_eq!(embedding.dims, [32, 4]);
    assert_eq!(embedding.ggml_type, GgmlType::Q4_1);
    assert_eq!(embedding.size_bytes, 4 * 20);
    assert_eq!(embedding.offset, header.data_offset);
    let norm = header.tensor("blk.1.attn_norm.weight").unwrap();
    assert_eq!(norm.offset, header.data_offset + 96 + 128);
    assert_eq!(norm.offset + norm.size_bytes, file.len() as u64);
    assert_eq!(header.weights_bytes(), 80 + 128 + 128);
    assert_eq!(header.tensor("absent"), None);
}

#[test]
fn the_alignment_of_the_file_is_used() {
    let header = parse(&Builder::tiny_llama().alignment(256).build());
    assert_eq!(header.alignment, 256);
    assert_eq!(header.data_offset % 256, 0);
    assert_eq!(header.tensors[1].offset, header.data_offset + 256);
}

#[test]
fn every_value_type_comes_back_as_it_was_written() {
    let values = [
        Value::U8(250),
        Value::I8(-5),
        Value::U16(65_000),
        Value::I16(-300),
        Value::U32(4_000_000_000),
        Value::I32(-70_000),
        Value::F32(0.1),
        Value::Bool(true),
        Value::Str("naïve \u{1F600}".to_owned()),
        Value::U64(u64::MAX),
        Value::I64(i64::MIN),
        Value::F64(0.1),
        Value::Array(Array::U8(vec![1, 255])),
        Value::Array(Array::I8(vec![-1, 1])),
        Value::Array(Array::U16(vec![1, 65_535])),
        Value::Array(Array::I16(vec![-1, 1])),
        Value::Array(Array::U32(vec![1, u32::MAX])),
        Value::Array(Array::I32(vec![-1, 1])),
        Value::Array(Array::F32(vec![1.5])),
        Value::Array(Array::Bool(vec![true, false, true])),
        Value::Array(Array::Str(["", "a", "bc"].into_iter().collect())),
        Value::Array(Array::U64(vec![u64::MAX])),
        Value::Array(Array::I64(vec![i64::MIN])),
        Value::Array(Array::F64(vec![])),
    ];
    let builder = values.iter().enumerate().fold(Builder::new(), |builder, (index, value)| {
        builder.pair(&format!("key.{index}"), value.clone())
    });
    let header = parse(&builder.build());
    assert_eq!(header.metadata.len(), values.len());
    for (index, value) in values.iter().enumerate() {
        assert_eq!(header.metadata.get(&format!("key.{index}")), Some(value));
    }
}

#[test]
fn a_reader_and_a_prefix_give_the_same_header() {
    let file = Builder::tiny_llama().build();
    assert_eq!(Header::read(Cursor::new(&file)).unwrap(), parse(&file));
}

#[test]
fn the_header_alone_is_enough_when_the_file_is_longer() {
    let file = Builder::tiny_llama().build();
    let header = parse(&file);
    let prefix = &file[..usize::try_from(header.data_offset).unwrap()];
    assert_eq!(Header::parse(prefix, file.len() as u64).unwrap(), header);
}

#[test]
fn getters_say_what_is_missing_and_what_has_another_type() {
    let header = parse(&Builder::tiny_llama().build());
    let metadata = &header.metadata;
    assert_eq!(metadata.str("general.architecture").unwrap(), "llama");
    assert_eq!(metadata.u32("llama.block_count").unwrap(), 2);
    assert_eq!(metadata.u64("llama.block_count").unwrap(), 2);
    assert!((metadata.f32("llama.rope.freq_base").unwrap() - 10_000.0).abs() < f32::EPSILON);
    assert!(!metadata.bool("tokenizer.ggml.add_bos_token").unwrap());
    assert_eq!(metadata.u64_array("tokenizer.ggml.token_type").unwrap(), [3, 1, 1, 1]);
    let tokens: Vec<&str> = metadata.str_array("tokenizer.ggml.tokens").unwrap().iter().collect();
    assert_eq!(tokens, ["<s>", "a", "b", "ab"]);

    let missing = metadata.u32("llama.absent").unwrap_err();
    assert!(matches!(&missing, GgufError::MissingKey { key } if key == "llama.absent"));
    let wrong = metadata.u32("general.architecture").unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "metadata key `general.architecture` is a text, expected an unsigned number of 32 bits"
    );
    assert!(matches!(metadata.str("llama.block_count"), Err(GgufError::WrongType { .. })));
    assert!(matches!(metadata.f32("llama.block_count"), Err(GgufError::WrongType { .. })));
}
