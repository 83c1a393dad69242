//! Speed of the engine's model code: time to load, tokens per second of reading a prompt and of
//! generating. `speed_llama_cpp.py` beside it prints the same of llama.cpp.
//!
//! ```text
//! cargo run --release -p engine-candle --example speed -- MODEL.gguf [THREADS]
//! ```
#![expect(clippy::print_stdout, reason = "it is a command-line program")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::{num::NonZeroUsize, path::PathBuf, time::Instant};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use engine_candle::{CandleConfig, Kernels, Llama, Sampler};

const PROMPT_TOKENS: u32 = 512;
const GENERATED_TOKENS: u32 = 128;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let path = PathBuf::from(arguments.next().context("which model?")?);
    let path = Utf8PathBuf::try_from(path)?;
    let threads = match arguments.next() {
        Some(text) => text.to_str().context("threads is a number")?.parse()?,
        None => std::thread::available_parallelism()?,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(NonZeroUsize::get(threads)).build()?;
    pool.install(|| measure(&path, CandleConfig::new("measured", threads)))
}

fn measure(path: &Utf8PathBuf, config: CandleConfig) -> anyhow::Result<()> {
    let kernels = Kernels::detect();
    let start = Instant::now();
    let mut model = Llama::load(path, config.ctx_max, kernels, |_, _| true)?;
    println!("threads {}, kernels {}", config.threads, kernels.name());
    println!("load     {:8.3} s", start.elapsed().as_secs_f64());

    let prompt: Vec<u32> = (0..PROMPT_TOKENS).map(|i| 100 + i * 7).collect();
    for _ in 0..3 {
        model.clear();
        let start = Instant::now();
        for chunk in prompt.chunks(config.prefill_chunk_tokens.get()) {
            model.feed(chunk)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("prefill  {:8.1} tokens/s", f64::from(PROMPT_TOKENS) / seconds);

        let mut sampler = Sampler::new(adapter_host::Sampling::default(), &prompt, &[])?;
        let start = Instant::now();
        for _ in 0..GENERATED_TOKENS {
            let id = sampler.sample(model.logits())?;
            sampler.accept(id);
            model.feed(&[id])?;
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("generate {:8.1} tokens/s", f64::from(GENERATED_TOKENS) / seconds);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM")) {
        println!("{line}");
    }
    Ok(())
}
