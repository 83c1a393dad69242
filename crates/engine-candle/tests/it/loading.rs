use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use adapter_host::EngineAdapter as _;
use camino::{Utf8Path, Utf8PathBuf};
use engine_candle::{CandleConfig, CandleEngine, LoadError, Vocabulary};
use futures_util::FutureExt as _;
use gguf::{GgmlType, Header, Value, testing::Builder};

use crate::starter::{Words, attempt, config, greedy, path, run};

/// Why a file does not load.
async fn failure(path: &Utf8Path) -> LoadError {
    CandleEngine::load(path, Arc::new(Words), config(1), |_progress| {}).await.err().unwrap()
}

/// A copy of the model's header with a file around it that is as long, but empty; `change` edits the
/// header's bytes.
fn hollow(directory: &tempfile::TempDir, change: impl FnOnce(&mut Vec<u8>)) -> Utf8PathBuf {
    let header = Header::read(File::open(path()).unwrap()).unwrap();
    let mut bytes = vec![0; usize::try_from(header.data_offset).unwrap()];
    let mut model = File::open(path()).unwrap();
    model.read_exact(&mut bytes).unwrap();
    change(&mut bytes);
    let target = directory.path().join("model.gguf");
    let mut file = File::create(&target).unwrap();
    file.write_all(&bytes).unwrap();
    file.set_len(model.metadata().unwrap().len()).unwrap();
    Utf8PathBuf::try_from(target).unwrap()
}

/// Replaces the only or the first occurrence of `from`.
fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_malformed() {
    let directory = tempfile::tempdir().unwrap();
    let cut = hollow(&directory, |_bytes| {});
    let length = cut.metadata().unwrap().len();
    for keep in [0, 3, 100, 100_000, length - 1] {
        OpenOptions::new().write(true).open(&cut).unwrap().set_len(keep).unwrap();
        let error = failure(&cut).await;
        assert!(matches!(error, LoadError::Malformed { .. }), "{keep} bytes: {error:?}");
    }
}

/// The estimate against the bytes of the file's own kinds: Q4_1 becomes 36 bytes for 32 numbers.
#[test]
fn the_memory_of_a_model_is_known_from_its_header() {
    let header = Header::read(File::open(path()).unwrap()).unwrap();
    let of = |ctx_max| engine_candle::memory_bytes(&header, ctx_max).unwrap();
    // 30 blocks with 192 numbers each for keys and values, in single precision, in steps of 256 tokens.
    let of_token = 30 * 192 * 2 * 4;
    assert_eq!(of(512) - of(256), 256 * of_token);
    assert_eq!(of(1), of(256));
    assert_eq!(of(u32::MAX), of(8192), "no more than it was trained for");
    let numbers: u64 =
        header.tensors.iter().map(|tensor| tensor.dims.iter().product::<u64>()).sum();
    let weights = of(256) - 256 * of_token;
    assert!((numbers * 36 / 32..numbers * 37 / 32).contains(&weights), "{weights} for {numbers}");
}

#[tokio::test]
async fn what_is_no_model_file_or_missing_is_told_apart() {
    let missing = failure(Utf8Path::new("/no/such/model.gguf")).await;
    assert!(matches!(missing, LoadError::Io { .. }), "{missing:?}");
    let text = failure(Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))).await;
    assert!(matches!(text, LoadError::Malformed { .. }), "{text:?}");
}

#[tokio::test]
async fn another_architecture_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let other = hollow(&directory, |bytes| {
        let key = "general.architecture";
        let place = bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
        replace(&mut bytes[place..], "llama", "mamba");
    });
    match failure(&other).await {
        LoadError::UnsupportedArchitecture { found } => assert_eq!(found, "mamba"),
        error => panic!("{error:?}"),
    }
}

/// A model of one block whose weights are all zero.
fn tiny() -> Builder {
    Builder::new()
        .text("general.architecture", "llama")
        .pair("llama.context_length", Value::U32(64))
        .pair("llama.block_count", Value::U32(1))
        .pair("llama.embedding_length", Value::U32(64))
        .pair("llama.feed_forward_length", Value::U32(96))
        .pair("llama.attention.head_count", Value::U32(4))
        .pair("llama.attention.head_count_kv", Value::U32(2))
        .pair("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5))
        .tensor("token_embd.weight", &[64, 10], GgmlType::Q8_0)
        .tensor("output.weight", &[64, 10], GgmlType::F16)
        .tensor("output_norm.weight", &[64], GgmlType::F32)
        .tensor("blk.0.attn_norm.weight", &[64], GgmlType::F32)
        .tensor("blk.0.attn_q.weight", &[64, 64], GgmlType::Q4_0)
        .tensor("blk.0.attn_k.weight", &[64, 32], GgmlType::F16)
        .tensor("blk.0.attn_v.weight", &[64, 32], GgmlType::Q8_0)
        .tensor("blk.0.attn_output.weight", &[64, 64], GgmlType::F32)
        .tensor("blk.0.ffn_norm.weight", &[64], GgmlType::F32)
        .tensor("blk.0.ffn_gate.weight", &[64, 96], GgmlType::Q4_1)
        .tensor("blk.0.ffn_up.weight", &[64, 96], GgmlType::Q4_1)
        .tensor("blk.0.ffn_down.weight", &[96, 64], GgmlType::Q4_1)
}

async fn load_built(builder: Builder) -> Result<CandleEngine, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::try_from(directory.path().join("tiny.gguf")).unwrap();
    std::fs::write(&path, builder.build()).unwrap();
    CandleEngine::load(path, Arc::new(Words), config(1), |_progress| {}).await
}

#[tokio::test]
async fn a_model_may_mix_formats_and_limits_the_context_itself() {
    let engine = load_built(tiny()).await.unwrap();
    assert_eq!(engine.props().await.unwrap().models[0].ctx_max, Some(64));
    let answer = run(&engine, attempt([3, 4].into(), 5, greedy())).await;
    assert_eq!(answer.finish().prompt_tokens, Some(2));
}

#[tokio::test]
async fn what_is_not_computed_is_refused_and_named() {
    let factor = Value::F32(4.0);
    for (builder, expected) in [
        (tiny().pair("llama.expert_count", Value::U32(8)), "mixture of experts"),
        (tiny().pair("llama.attention.sliding_window", Value::U32(32)), "sliding window"),
        (
            tiny()
                .text("llama.rope.scaling.type", "yarn")
                .pair("llama.rope.scaling.factor", factor),
            "yarn",
        ),
        (tiny().tensor("blk.0.attn_q.bias", &[64], GgmlType::F32), "blk.0.attn_q.bias"),
        (tiny().pair("llama.attention.value_length", Value::U32(32)), "another length"),
        (tiny().set("llama.feed_forward_length", Value::U32(90)), "whole blocks"),
    ] {
        match load_built(builder).await.err() {
            Some(LoadError::Unsupported { what }) => assert!(what.contains(expected), "{what}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn numbers_that_do_not_fit_each_other_are_refused_and_named() {
    for (builder, expected) in [
        (tiny().set("llama.block_count", Value::U32(2)), "blk.1.attn_norm.weight"),
        (tiny().set("llama.block_count", Value::U32(60_000)), "too many blocks"),
        (tiny().set("llama.feed_forward_length", Value::U32(64)), "ffn_gate"),
        (tiny().set("llama.attention.head_count_kv", Value::U32(3)), "unevenly"),
        (tiny().set("llama.attention.head_count", Value::U32(0)), "attention heads"),
        (tiny().set("llama.attention.head_count", Value::U32(u32::MAX)), "attention heads"),
        (tiny().set("llama.embedding_length", Value::U32(u32::MAX)), "embedding_length"),
        (tiny().without("llama.attention.layer_norm_rms_epsilon"), "rms_epsilon"),
        (tiny().set("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN)), "epsilon"),
        (tiny().pair("llama.rope.dimension_count", Value::U32(64)), "is turned"),
        (tiny().pair("llama.rope.freq_base", Value::F32(0.0)), "base of the positions"),
    ] {
        match load_built(builder).await.err() {
            Some(LoadError::Inconsistent { what }) => assert!(what.contains(expected), "{what}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn weights_that_are_not_finite_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let other = hollow(&directory, |_bytes| {});
    let header = Header::read(File::open(path()).unwrap()).unwrap();
    let norm = header.tensor("blk.3.attn_norm.weight").unwrap();
    let mut file = OpenOptions::new().write(true).open(&other).unwrap();
    file.seek(SeekFrom::Start(norm.offset + 8)).unwrap();
    file.write_all(&f32::NAN.to_le_bytes()).unwrap();
    match failure(&other).await {
        LoadError::Inconsistent { what } => {
            assert!(what.contains("blk.3.attn_norm.weight"), "{what}");
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn progress_is_told_up_to_the_whole_model() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let config = CandleConfig { ctx_max: 128, ..config(2) };
    let engine = CandleEngine::load(path(), Arc::new(Words), config, move |progress| {
        sink.lock().unwrap().push((progress.done_bytes, progress.total_bytes));
    });
    drop(engine.await.unwrap());
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted());
    let (done, total) = *seen.last().unwrap();
    assert_eq!(done, total);
    assert!(seen.len() > 200, "once for each tensor");
}

#[tokio::test]
async fn giving_up_while_loading_ends_the_threads() {
    let words: Arc<dyn Vocabulary> = Arc::new(Words);
    let config = CandleConfig::new("model", NonZeroUsize::MIN);
    let mut loading =
        Box::pin(CandleEngine::load(path(), Arc::clone(&words), config, |_progress| {}));
    assert!(loading.as_mut().now_or_never().is_none(), "loading takes a while");
    drop(loading);
    assert_eq!(Arc::strong_count(&words), 1, "no thread of the engine is left");
}
