use super::{TILE, multiply_with};
use crate::matrix::{Block, Rows};

/// See [`super::Kernels::multiply`].
pub(super) fn multiply(weights: Rows<'_>, inputs: Rows<'_>, out: &mut [f32], stride: usize) {
    multiply_with!(weights, inputs, out, stride, dot_tile, dot);
}

fn dot_tile(weights: &[Block], inputs: [&[Block]; TILE]) -> [f32; TILE] {
    inputs.map(|input| dot(weights, input))
}

/// The order of additions that every instruction set keeps: blocks at even places add to one set of eight
/// lanes, those at odd places to another; lane `j` takes the products of numbers `4j` to `4j + 3` of a
/// block, summed exactly as integers; at the end the sets are added, then lanes four, two and one apart.
fn dot(weights: &[Block], input: &[Block]) -> f32 {
    let mut lanes = [[0.0_f32; 8]; 2];
    for (b, (w, x)) in weights.iter().zip(input).enumerate() {
        let scale = w.scale * x.scale;
        let (w, _) = w.codes.as_chunks::<4>();
        let (x, _) = x.codes.as_chunks::<4>();
        for ((lane, w), x) in lanes[b % 2].iter_mut().zip(w).zip(x) {
            let products = w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x));
            #[expect(clippy::cast_precision_loss, reason = "four products fit 24 bits")]
            let sum = products.sum::<i32>() as f32;
            *lane += sum * scale;
        }
    }
    let eight: [f32; 8] = std::array::from_fn(|j| lanes[0][j] + lanes[1][j]);
    let four: [f32; 4] = std::array::from_fn(|j| eight[j] + eight[j + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}
