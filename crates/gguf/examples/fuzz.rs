//! Fuzzes the header parser for a while: `fuzz [--seconds N] [--seed S]` (default 10 seconds, seed 1).
//!
//! Prints the iterations done and their rate. Ends with status 1 and the input on the first panic,
//! oversized allocation or other broken promise.
#![expect(clippy::print_stdout, reason = "a program for people and CI, not a library")]
#![expect(clippy::disallowed_methods, reason = "the clock decides only when to stop")]

use std::error::Error;
use std::time::{Duration, Instant};

use gguf::testing::{TrackingAllocator, fuzz_header};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut seconds, mut seed) = (10, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
        match name.as_str() {
            "--seconds" => seconds = value.parse()?,
            "--seed" => seed = value.parse()?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    // The clock is read once in 256 iterations, which takes about a millisecond.
    let done = fuzz_header(seed, |iteration| iteration % 256 != 0 || Instant::now() < end)?;
    let elapsed = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = done as f64 / elapsed.max(0.001);
    println!(
        "gguf fuzz: seed {seed}, {done} iterations in {elapsed:.1} s, {rate:.0} a second, no failure"
    );
    Ok(())
}
