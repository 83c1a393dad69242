use gguf::Header;

use crate::{
    LoadError,
    hyper_parameters::HyperParameters,
    kv_cache,
    matrix::{BLOCK, Block},
};

/// Memory that a model takes once it is loaded and its whole context is used, in bytes: its weights as this
/// engine holds them, and the keys and values of `ctx_max` tokens. What one step computes with is small beside
/// that and not counted.
///
/// # Errors
/// It is not a model that this engine computes.
pub fn memory_bytes(header: &Header, ctx_max: u32) -> Result<u64, LoadError> {
    let shape = HyperParameters::read(header)?;
    let weights = header.tensors.iter().map(|tensor| weight_bytes(&tensor.dims));
    let tokens = u64::from(ctx_max.min(shape.ctx_trained));
    let numbers = [shape.blocks, shape.kv_width(), kv_cache::KINDS];
    let of_token = numbers.into_iter().map(wide).fold(size::<f32>(), u64::saturating_mul);
    let tokens = tokens.next_multiple_of(wide(kv_cache::STEP_TOKENS));
    Ok(weights.fold(tokens.saturating_mul(of_token), u64::saturating_add))
}

/// A tensor of one dimension is held in single precision, all others in blocks along their rows.
fn weight_bytes(dims: &[u64]) -> u64 {
    match dims {
        [] => 0,
        [numbers] => numbers.saturating_mul(size::<f32>()),
        [cols, rows @ ..] => {
            let rows = rows.iter().copied().fold(1, u64::saturating_mul);
            cols.div_ceil(wide(BLOCK)).saturating_mul(rows).saturating_mul(size::<Block>())
        }
    }
}

fn size<T>() -> u64 {
    wide(size_of::<T>())
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
