use gguf::testing::{Builder, TrackingAllocator, fuzz_header};
use gguf::{Header, Limits};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};

/// Verifies: ORCH-166
#[test]
fn mutated_headers_keep_every_promise_of_the_parser() {
    let done = fuzz_header(1, |iteration| iteration < 20_000).unwrap();
    assert_eq!(done, 20_000);
}

#[test]
fn the_tracking_allocator_sees_what_is_held() {
    let (kept, held) = TrackingAllocator::peak_of(|| {
        drop(vec![0_u8; 100_000]);
        vec![0_u8; 50_000]
    });
    assert_eq!(kept.len(), 50_000);
    assert!((100_000..110_000).contains(&held), "{held}");
}

proptest! {
    #![proptest_config(Config {
        cases: 2_000,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(166),
        failure_persistence: None,
        ..Config::default()
    })]

    /// Verifies: ORCH-166
    #[test]
    fn overwritten_bytes_never_panic_and_never_cost_much(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        file_len in any::<u64>(),
    ) {
        let mut file = Builder::tiny_llama().build();
        for (at, byte) in &changes {
            let at = at.index(file.len());
            file[at] = *byte;
        }
        for len in [file.len() as u64, file_len] {
            let (parsed, held) = TrackingAllocator::peak_of(|| Header::parse(&file, len));
            prop_assert!(held <= 32 * file.len() + 4_096, "held {held} bytes");
            if let Ok(header) = parsed {
                let inside = header.tensors.iter().all(|tensor| {
                    tensor.offset.checked_add(tensor.size_bytes).is_some_and(|end| end <= len)
                });
                prop_assert!(inside, "a tensor ends after the file");
            }
        }
    }

    /// Verifies: ORCH-166
    #[test]
    fn random_bytes_behind_the_magic_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..512),
        version in 2_u32..=3,
        counts in prop::array::uniform2(0_u64..4),
    ) {
        let mut file = b"GGUF".to_vec();
        file.extend(version.to_le_bytes());
        file.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
        file.extend(&bytes);
        let parse = || Header::parse_with(&file, file.len() as u64, Limits::default());
        let (_, held) = TrackingAllocator::peak_of(parse);
        prop_assert!(held <= 32 * file.len() + 4_096, "held {held} bytes");
    }
}
