/// e to the power of `x`, to about two units in the last place, from additions and multiplications only:
/// the same bits on every machine, and open to vectorisation, unlike the C library's.
///
/// Inputs outside ±87 are taken as ±87; not-a-number gives the smallest result, so callers that must
/// notice it look at their input.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding this to a small float leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    const LN2_HIGH: f32 = 355.0 / 512.0; // few enough bits that `n * LN2_HIGH` is exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = clamp_to(x, -87.0, 87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor coefficients to the seventh power; |r| is at most ln(2) / 2.
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + coefficient;
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    p * f32::from_bits(exponent << 23)
}

/// Like `clamp`, but with not-a-number taken as `low`, as the processor's minimum and maximum do.
#[inline(always)]
fn clamp_to(x: f32, low: f32, high: f32) -> f32 {
    let raised = if x > low { x } else { low };
    if raised < high { raised } else { high }
}

/// Gate of the feed-forward network: `x * sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}
