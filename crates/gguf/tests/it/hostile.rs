use gguf::testing::{Builder, TrackingAllocator};
use gguf::{GgmlType, GgufError, Header, Limits, Value};

const ARRAY: u32 = 9;
const STRING: u32 = 8;

fn refuse(builder: &Builder) -> GgufError {
    let file = builder.build();
    Header::parse(&file, file.len() as u64).unwrap_err()
}

/// The value of an array: element type and claimed length, with no elements behind.
fn array_claim(element_type: u32, len: u64) -> Vec<u8> {
    [&element_type.to_le_bytes()[..], &len.to_le_bytes()].concat()
}

/// Verifies: ORCH-166
#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let file = Builder::tiny_llama().build();
    let last_tensor_end = file.len();
    for len in 0..last_tensor_end {
        let (parsed, held) = TrackingAllocator::peak_of(|| Header::parse(&file[..len], len as u64));
        assert!(parsed.is_err(), "cut at {len}");
        assert!(held < 64 * 1024, "cut at {len} held {held} bytes");
        assert!(Header::read(std::io::Cursor::new(&file[..len])).is_err(), "cut at {len}");
    }
    assert!(Header::parse(&file, file.len() as u64).is_ok());
}

#[test]
fn foreign_files_and_versions_are_named() {
    let cases: [(&[u8], &str); 4] = [
        (b"", "not a GGUF file: it starts with [] instead of \"GGUF\""),
        (b"PK\x03\x04", "not a GGUF file: it starts with [50, 4b, 03, 04] instead of \"GGUF\""),
        (b"GGUF\x01\0\0\0", "GGUF version 1 is not supported; versions 2 and 3 are"),
        (
            b"GGUF\0\0\0\x03",
            "big-endian GGUF files are not supported; convert the file to little-endian",
        ),
    ];
    for (file, message) in cases {
        let error = Header::parse(file, file.len() as u64).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

/// Verifies: ORCH-166
#[test]
fn counts_that_the_file_cannot_hold_are_refused_before_memory_is_taken() {
    for count in [5, 1_000, 65_536, u64::from(u32::MAX), 1 << 61, u64::MAX] {
        for builder in [
            Builder::new().claim_tensor_count(count),
            Builder::new().claim_pair_count(count),
            Builder::new().claim_pair(b"array", ARRAY, &array_claim(0, count)),
            Builder::new().claim_pair(b"array", ARRAY, &array_claim(10, count)),
            Builder::new().claim_pair(b"array", ARRAY, &array_claim(STRING, count)),
            Builder::new().claim_pair(b"text", STRING, &count.to_le_bytes()),
        ] {
            let file = builder.build();
            // A file that claims to be long does not help: only bytes that are there count.
            for file_len in [file.len() as u64, 1 << 40, u64::MAX] {
                let (parsed, held) = TrackingAllocator::peak_of(|| Header::parse(&file, file_len));
                let error = parsed.unwrap_err();
                assert!(
                    matches!(error, GgufError::Truncated { .. } | GgufError::OverLimit { .. }),
                    "{count}: {error}"
                );
                assert!(held < 4_096, "{count} held {held} bytes");
            }
        }
    }
}

/// Verifies: ORCH-166
#[test]
fn limits_hold_for_files_that_are_large_enough() {
    let limits = Limits {
        tensors_max: 1,
        pairs_max: 2,
        name_bytes_max: 8,
        string_bytes_max: 4,
        array_elements_max: 3,
        header_bytes_max: 200,
    };
    let cases = [
        (
            Builder::new().tensor("a", &[1], GgmlType::F32).tensor("b", &[1], GgmlType::F32),
            "number of tensors",
        ),
        (
            Builder::new().pair("a", Value::U8(0)).pair("b", Value::U8(0)).pair("c", Value::U8(0)),
            "number of metadata pairs",
        ),
        (Builder::new().pair("a-long-key", Value::U8(0)), "metadata key"),
        (Builder::new().text("a", "12345"), "metadata text"),
        (Builder::new().texts("a", ["12345"]), "array text"),
        (Builder::new().texts("a", ["", "", "", ""]), "array length"),
        (Builder::new().tensor("a-long-name", &[1], GgmlType::F32), "tensor name"),
        (
            Builder::new()
                .pair("a", Value::U64(0))
                .claim_pair(b"b", ARRAY, &[&array_claim(10, 3)[..], &[0; 24]].concat())
                .tensor("tttttttt", &[1, 1, 1, 1], GgmlType::F32),
            "",
        ),
    ];
    for (builder, what) in cases {
        let file = builder.build();
        let parsed = Header::parse_with(&file, file.len() as u64, limits);
        if what.is_empty() {
            assert!(parsed.is_ok(), "all limits reached and none passed: {parsed:?}");
            let tight = Limits { header_bytes_max: 100, ..limits };
            let error = Header::parse_with(&file, file.len() as u64, tight).unwrap_err();
            assert!(matches!(
                error,
                GgufError::OverLimit { what: "header length", limit: 100, .. }
            ));
        } else {
            match parsed.unwrap_err() {
                GgufError::OverLimit { what: found, .. } => assert_eq!(found, what),
                other => panic!("{what}: {other}"),
            }
        }
    }
}

/// Verifies: ORCH-166
#[test]
fn types_that_do_not_exist_are_named_with_their_offset() {
    // Magic, version and two counts take 24 bytes, the key 8 + 1.
    let error = refuse(&Builder::new().claim_pair(b"k", 13, &[]));
    assert!(matches!(error, GgufError::UnknownValueType { offset: 33, code: 13 }), "{error}");
    let error = refuse(&Builder::new().claim_pair(b"k", ARRAY, &array_claim(99, 0)));
    assert!(matches!(error, GgufError::UnknownValueType { offset: 37, code: 99 }), "{error}");
    let error = refuse(&Builder::new().claim_pair(b"k", 7, &[2]));
    assert!(matches!(error, GgufError::InvalidBool { offset: 37, found: 2 }), "{error}");
    let error = refuse(&Builder::new().claim_pair(
        b"k",
        ARRAY,
        &[&array_claim(7, 2)[..], &[1, 9]].concat(),
    ));
    assert!(matches!(error, GgufError::InvalidBool { offset: 50, found: 9 }), "{error}");
    // Codes 4, 5 (removed), 36 (removed) and one past the last.
    for code in [4, 5, 36, 42, u32::MAX] {
        let error = refuse(&Builder::new().claim_tensor("t", &[32], code, 0));
        assert!(matches!(error, GgufError::UnknownTensorType { code: found, .. } if found == code));
    }
}

/// Verifies: ORCH-166
#[test]
fn nested_arrays_are_refused_at_the_first_level() {
    let bomb: Vec<u8> = (0..10_000).flat_map(|_level| array_claim(ARRAY, 1)).collect();
    let error = refuse(&Builder::new().claim_pair(b"k", ARRAY, &bomb));
    assert!(matches!(error, GgufError::NestedArray { offset: 37 }), "{error}");
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    for builder in [
        Builder::new().claim_pair(b"\xff", 0, &[0]),
        Builder::new().claim_pair(b"k", STRING, &[&1_u64.to_le_bytes()[..], b"\xc3"].concat()),
    ] {
        assert!(matches!(refuse(&builder), GgufError::NotUtf8 { .. }));
    }
}

#[test]
fn duplicate_names_are_refused() {
    let error = refuse(&Builder::new().pair("k", Value::U8(1)).pair("k", Value::U8(1)));
    assert!(matches!(error, GgufError::DuplicateKey { key } if key == "k"));
    let builder = Builder::new().tensor("t", &[8], GgmlType::F32).tensor("t", &[8], GgmlType::F32);
    let error = refuse(&builder);
    assert!(matches!(error, GgufError::DuplicateTensor { name } if name == "t"));
}

/// Verifies: ORCH-166
#[test]
fn alignments_that_are_no_power_of_two_or_too_large_are_refused() {
    for value in [Value::U32(0), Value::U32(24), Value::U32(1 << 31), Value::U64(1 << 63)] {
        let error = refuse(&Builder::tiny_llama().set("general.alignment", value));
        assert!(matches!(error, GgufError::InvalidAlignment { .. }), "{error}");
    }
    let text = Value::Str("32".to_owned());
    let error = refuse(&Builder::tiny_llama().set("general.alignment", text));
    assert!(matches!(error, GgufError::WrongType { .. }));
}

/// Verifies: ORCH-166
#[test]
fn dimensions_that_overflow_are_refused() {
    for dims in [
        vec![1 << 32, 1 << 32],
        vec![1 << 16, 1 << 16, 1 << 16, 1 << 16],
        vec![u64::MAX],
        vec![1 << 62],
        vec![1 << 31, 1 << 32],
    ] {
        let error = refuse(&Builder::new().claim_tensor("t", &dims, 0, 0));
        assert!(matches!(error, GgufError::SizeOverflow { .. }), "{dims:?}: {error}");
    }
    let error = refuse(&Builder::new().claim_tensor("t", &[4, 0], 0, 0));
    assert!(matches!(error, GgufError::ZeroDimension { .. }));
    for dims in [&[][..], &[1; 5]] {
        let error =
            refuse(&Builder::new().claim_tensor("t", dims, 0, 0).tensor("u", &[1], GgmlType::F32));
        assert!(matches!(error, GgufError::InvalidRank { .. }));
    }
    let error = refuse(&Builder::new().claim_tensor("t", &[33, 32], 3, 0));
    assert!(matches!(error, GgufError::PartialBlock { row: 33, block: 32, .. }));
}

/// Verifies: ORCH-166
#[test]
fn tensors_outside_the_file_or_over_each_other_are_refused() {
    let with = |dims: &[u64], offset| Builder::tiny_llama().claim_tensor("t", dims, 0, offset);
    for (dims, offset) in [
        (vec![1 << 20], 0_u64),
        (vec![1], 1 << 20),
        (vec![1], u64::MAX - 31),
        (vec![1 << 40, 1 << 20], 0),
    ] {
        let error = refuse(&with(&dims, offset));
        assert!(matches!(error, GgufError::TensorOutsideFile { .. }), "{dims:?}: {error}");
    }
    let error = refuse(&with(&[1], 4));
    assert!(matches!(error, GgufError::Misaligned { found: 4, alignment: 32, .. }));
    let error = refuse(&with(&[1], 32));
    assert!(
        matches!(&error, GgufError::OverlappingTensors { first, second }
            if first == "token_embd.weight" && second == "t"),
        "{error}"
    );
}

#[test]
fn a_reader_that_fails_is_reported_with_its_offset() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _into: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    impl std::io::Seek for Failing {
        fn seek(&mut self, _to: std::io::SeekFrom) -> std::io::Result<u64> {
            Ok(1_000)
        }
    }
    let error = Header::read(Failing).unwrap_err();
    assert!(matches!(error, GgufError::Io { offset: 0, .. }), "{error}");
}

/// A file may shrink between the moment its size was read and the moment its bytes are.
#[test]
fn a_reader_that_ends_early_is_a_truncated_file() {
    struct Short(std::io::Cursor<Vec<u8>>);
    impl std::io::Read for Short {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(into)
        }
    }
    impl std::io::Seek for Short {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            match to {
                std::io::SeekFrom::End(_) => Ok(1 << 40),
                other => self.0.seek(other),
            }
        }
    }
    let claim = [&(4_u64 << 20).to_le_bytes()[..], b"short"].concat();
    let file = Builder::new().claim_pair(b"k", STRING, &claim).build();
    let (parsed, held) =
        TrackingAllocator::peak_of(|| Header::read(Short(std::io::Cursor::new(file))));
    assert!(matches!(parsed.unwrap_err(), GgufError::Truncated { .. }));
    assert!(held < 256 * 1024, "a text of 4 MiB that is not there held {held} bytes");
}
