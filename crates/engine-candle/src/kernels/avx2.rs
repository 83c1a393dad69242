use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps,
    _mm_prefetch, _mm_shuffle_ps, _mm256_abs_epi8, _mm256_add_ps, _mm256_castps256_ps128,
    _mm256_cvtepi32_ps, _mm256_extractf128_ps, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_ps, _mm256_setzero_ps, _mm256_sign_epi8,
};

use super::{TILE, multiply_with};
use crate::{
    attention,
    matrix::{Block, Rows},
};

/// See [`super::Kernels::multiply`].
#[target_feature(enable = "avx2")]
pub(super) fn multiply(weights: Rows<'_>, inputs: Rows<'_>, out: &mut [f32], stride: usize) {
    multiply_with!(weights, inputs, out, stride, dot_tile, dot);
}

/// See [`super::Kernels::attend`]: the portable loops, compiled for AVX2. Only the dot product is written
/// by hand, as the compiler cuts its eight lanes into pairs.
#[target_feature(enable = "avx2")]
pub(super) fn attend(head: attention::Head<'_>, scores: &mut Vec<f32>, out: &mut [f32]) {
    attention::attend(head, scores, out, |left, right| dot_f32(left, right));
}

/// The dot product in the order of additions that `attention::dot` has.
#[target_feature(enable = "avx2")]
#[inline]
fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<8>();
    let (right, right_rest) = right.as_chunks::<8>();
    let mut lanes = _mm256_setzero_ps();
    for (left, right) in left.iter().zip(right) {
        lanes = _mm256_add_ps(lanes, _mm256_mul_ps(load_f32(left), load_f32(right)));
    }
    let mut sum = fold(lanes);
    for (l, r) in left_rest.iter().zip(right_rest) {
        sum += l * r;
    }
    sum
}

/// The dot products of one row of weights with several inputs, in the order of additions that
/// `portable::dot` describes.
#[target_feature(enable = "avx2")]
#[inline]
fn dot_tile(weights: &[Block], [a, b, c, d]: [&[Block]; TILE]) -> [f32; TILE] {
    let zero = _mm256_setzero_ps();
    let (mut even, mut odd) = ([zero; TILE], [zero; TILE]);
    let (w_pairs, w_rest) = weights.as_chunks::<2>();
    let (a_pairs, a_rest) = a.as_chunks::<2>();
    let (b_pairs, b_rest) = b.as_chunks::<2>();
    let (c_pairs, c_rest) = c.as_chunks::<2>();
    let (d_pairs, d_rest) = d.as_chunks::<2>();
    for ((((w, a), b), c), d) in w_pairs.iter().zip(a_pairs).zip(b_pairs).zip(c_pairs).zip(d_pairs)
    {
        add_tile(&mut even, &w[0], [&a[0], &b[0], &c[0], &d[0]]);
        add_tile(&mut odd, &w[1], [&a[1], &b[1], &c[1], &d[1]]);
    }
    for ((((w, a), b), c), d) in w_rest.iter().zip(a_rest).zip(b_rest).zip(c_rest).zip(d_rest) {
        add_tile(&mut even, w, [a, b, c, d]);
    }
    [
        fold(_mm256_add_ps(even[0], odd[0])),
        fold(_mm256_add_ps(even[1], odd[1])),
        fold(_mm256_add_ps(even[2], odd[2])),
        fold(_mm256_add_ps(even[3], odd[3])),
    ]
}

/// As [`dot_tile`], with one input.
#[target_feature(enable = "avx2")]
#[inline]
fn dot(weights: &[Block], input: &[Block]) -> f32 {
    let (mut even, mut odd) = (_mm256_setzero_ps(), _mm256_setzero_ps());
    let (w_pairs, w_rest) = weights.as_chunks::<2>();
    let (x_pairs, x_rest) = input.as_chunks::<2>();
    for (w, x) in w_pairs.iter().zip(x_pairs) {
        prefetch(w);
        even = add(even, load(&w[0]), w[0].scale, &x[0]);
        odd = add(odd, load(&w[1]), w[1].scale, &x[1]);
    }
    for (w, x) in w_rest.iter().zip(x_rest) {
        even = add(even, load(w), w.scale, x);
    }
    fold(_mm256_add_ps(even, odd))
}

#[target_feature(enable = "avx2")]
#[inline]
fn add_tile(lanes: &mut [__m256; TILE], weights: &Block, inputs: [&Block; TILE]) {
    let w = load(weights);
    lanes[0] = add(lanes[0], w, weights.scale, inputs[0]);
    lanes[1] = add(lanes[1], w, weights.scale, inputs[1]);
    lanes[2] = add(lanes[2], w, weights.scale, inputs[2]);
    lanes[3] = add(lanes[3], w, weights.scale, inputs[3]);
}

/// Adds the products of a block of weights, whose codes are `w`, with one of an input.
#[target_feature(enable = "avx2")]
#[inline]
fn add(lanes: __m256, w: __m256i, scale: f32, input: &Block) -> __m256 {
    // One factor must be unsigned: the weights give their sign to the inputs. Codes are never -128, and two
    // products of at most 127 * 127 fit 16 bits, so nothing saturates.
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(load(input), w));
    let sums = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    let scales = _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_set1_ps(input.scale));
    _mm256_add_ps(lanes, _mm256_mul_ps(sums, scales))
}

/// Asks for the weights that come later: the processor's own prefetching ends at each page.
#[target_feature(enable = "avx2")]
#[inline]
fn prefetch(weights: &[Block; 2]) {
    const AHEAD_BYTES: usize = 2048;
    let later = std::ptr::from_ref(weights).cast::<i8>().wrapping_add(AHEAD_BYTES);
    _mm_prefetch::<_MM_HINT_T0>(later); // a hint: it reads nothing, whatever the address
}

/// The codes of a block.
///
/// A change of type and not a load intrinsic, because that would be checked at run time in dev builds, at
/// a third of the speed.
#[target_feature(enable = "avx2")]
#[inline]
fn load(block: &Block) -> __m256i {
    #[expect(unsafe_code, reason = "the library has no safe way from bytes to a vector")]
    // SAFETY: both types are 32 bytes that may hold anything.
    unsafe {
        std::mem::transmute::<[i8; 32], __m256i>(block.codes)
    }
}

/// Eight numbers; see [`load`].
#[target_feature(enable = "avx2")]
#[inline]
fn load_f32(numbers: &[f32; 8]) -> __m256 {
    #[expect(unsafe_code, reason = "the library has no safe way from an array to a vector")]
    // SAFETY: both types are eight floats.
    unsafe {
        std::mem::transmute::<[f32; 8], __m256>(*numbers)
    }
}

/// Adds lanes four, then two, then one apart.
#[target_feature(enable = "avx2")]
#[inline]
fn fold(lanes: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<0b01>(two, two)))
}
