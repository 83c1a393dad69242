use std::fmt;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::testing::{Builder, TrackingAllocator};
use crate::{Array, GgmlType, Header, Value};

/// An input on which the parser broke one of its promises.
#[derive(Debug)]
pub struct FuzzFailure {
    /// The iteration, counted from 0, that made the input.
    pub iteration: u64,
    /// Which promise was broken.
    pub promise: String,
    /// The input.
    pub input: Vec<u8>,
}

impl fmt::Display for FuzzFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iteration {}: {}; input {:02x?}", self.iteration, self.promise, self.input)
    }
}

impl std::error::Error for FuzzFailure {}

/// Bytes that the parser may hold for each byte of input; a pair of 13 bytes becomes one of 56 in a
/// vector that doubles.
const HELD_PER_INPUT_BYTE: usize = 32;
/// Bytes that the parser may hold whatever the input: error texts and first allocations.
const HELD_ALWAYS: usize = 4 << 10;
/// A list of blocks is as long as the header claims, up to the cap in `model_facts.rs`.
const FACTS_BYTES_MAX: usize = 4 << 20;

/// Mutates well-formed headers, as `seed` says, while `go_on` agrees, and holds the parser to its promises
/// on each: no panic, memory in proportion to the input (when [`TrackingAllocator`] is installed), tensors
/// inside the file and apart, and the same answer from a prefix and from a reader.
///
/// `go_on` is asked before each iteration with its number; the number of iterations done is returned.
/// Same seed, same inputs.
///
/// # Errors
/// The first input that breaks a promise.
pub fn fuzz_header(seed: u64, mut go_on: impl FnMut(u64) -> bool) -> Result<u64, Box<FuzzFailure>> {
    let originals = originals();
    let mut random = Random(seed);
    let mut iteration = 0;
    while go_on(iteration) {
        let mut input = originals[random.below(originals.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &originals, &mut random);
        }
        let file_len = match random.below(4) {
            0 => random.next(),
            1 => input.len() as u64 + random.next() % 4096,
            _ => input.len() as u64,
        };
        if let Err(promise) = check(&input, file_len) {
            return Err(Box::new(FuzzFailure { iteration, promise, input }));
        }
        iteration += 1;
    }
    Ok(iteration)
}

fn originals() -> Vec<Vec<u8>> {
    let llama = Builder::tiny_llama();
    let every_type = Builder::new()
        .text("general.architecture", "every-type")
        .pair("u8", Value::U8(1))
        .pair("i8", Value::I8(-1))
        .pair("u16", Value::U16(2))
        .pair("i16", Value::I16(-2))
        .pair("u64", Value::U64(u64::MAX))
        .pair("i64", Value::I64(i64::MIN))
        .pair("f64", Value::F64(0.5))
        .pair("a.u8", Value::Array(Array::U8(vec![1, 2, 3])))
        .pair("a.u16", Value::Array(Array::U16(vec![1, 2])))
        .pair("a.f32", Value::Array(Array::F32(vec![0.5, 1.5])))
        .pair("a.u64", Value::Array(Array::U64(vec![1, 2])))
        .pair("a.f64", Value::Array(Array::F64(vec![0.25])))
        .pair("a.bool", Value::Array(Array::Bool(vec![true, false])))
        .pair("a.empty", Value::Array(Array::I64(vec![])))
        .tensor("four", &[32, 2, 2, 2], GgmlType::Q8_0);
    let many = (0..64).fold(Builder::new(), |builder, index| {
        builder.pair(&format!("k{index}"), Value::U8(0)).tensor(
            &format!("t{index}"),
            &[1],
            GgmlType::F32,
        )
    });
    vec![
        llama.build(),
        llama.clone().version(2).build(),
        llama.alignment(64).build(),
        every_type.build(),
        many.build(),
        Builder::new().build(),
    ]
}

fn mutate(input: &mut Vec<u8>, originals: &[Vec<u8>], random: &mut Random) {
    // Sizes at which sums, products, shifts and sign changes go wrong.
    const NUMBERS: [u64; 14] = [
        0,
        1,
        7,
        0x7f,
        0xff,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 32,
        1 << 61,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 7,
        u64::MAX,
    ];
    if input.is_empty() {
        input.push(random.byte());
        return;
    }
    let at = random.below(input.len());
    match random.below(8) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.byte(),
        2 => overwrite(input, at, &NUMBERS[random.below(NUMBERS.len())].to_le_bytes()),
        3 => overwrite(input, at, &NUMBERS[random.below(NUMBERS.len())].to_le_bytes()[..4]),
        4 => input.truncate(at),
        5 => {
            let end = (at + 1 + random.below(16)).min(input.len());
            input.drain(at..end);
        }
        6 => {
            let end = (at + 1 + random.below(64)).min(input.len());
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        _ => {
            let other = &originals[random.below(originals.len())];
            let from = random.below(other.len());
            input.truncate(at);
            input.extend(&other[from..]);
        }
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    let end = (at + bytes.len()).min(input.len());
    input[at..end].copy_from_slice(&bytes[..end - at]);
}

fn check(input: &[u8], file_len: u64) -> Result<(), String> {
    let held_max = input.len() * HELD_PER_INPUT_BYTE + HELD_ALWAYS;
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        TrackingAllocator::peak_of(|| Header::parse(input, file_len))
    }));
    let (parsed, held) = parsed.map_err(|_panic| "parsing panicked".to_owned())?;
    if held > held_max {
        return Err(format!("parsing {} bytes held {held}", input.len()));
    }
    if file_len == input.len() as u64 {
        let read = catch_unwind(|| Header::read(Cursor::new(input)));
        let read = read.map_err(|_panic| "reading panicked".to_owned())?;
        if format!("{read:?}") != format!("{parsed:?}") {
            return Err(format!("prefix and reader differ: {parsed:?} and {read:?}"));
        }
    }
    match parsed {
        Ok(header) => check_header(&header, file_len),
        Err(_refused) => Ok(()),
    }
}

fn check_header(header: &Header, file_len: u64) -> Result<(), String> {
    let mut spans: Vec<(u64, u64)> =
        header.tensors.iter().map(|tensor| (tensor.offset, tensor.size_bytes)).collect();
    spans.sort_unstable();
    let mut end = header.data_offset;
    for (offset, size_bytes) in spans {
        if offset < end || !offset.is_multiple_of(header.alignment) {
            return Err(format!("a tensor at {offset} overlaps or is misaligned"));
        }
        end = offset.checked_add(size_bytes).ok_or("a tensor ends past 2^64")?;
        if end > file_len {
            return Err(format!("a tensor ends at {end} of {file_len} bytes"));
        }
    }
    let facts = catch_unwind(|| {
        TrackingAllocator::peak_of(|| {
            header.weights_bytes();
            header.quantization();
            [
                header.architecture().is_ok(),
                header.context_length().is_ok(),
                header.kv_bytes_per_token(2).is_ok(),
                header.kv_bytes_per_token(u64::MAX).is_ok(),
                header.chat_template().is_ok(),
                header.tokenizer_model().is_ok(),
                header.tokenizer_pre().is_ok(),
            ]
        })
    });
    match facts {
        Err(_panic) => Err("a model fact panicked".to_owned()),
        Ok((_, held)) if held > FACTS_BYTES_MAX => Err(format!("model facts held {held} bytes")),
        Ok(_) => Ok(()),
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): a seed is all its state.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0. The bias of the remainder does not matter here.
    fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        usize::try_from(self.next() % bound).expect("it is below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}
