/// The random number in [0, 1) for one token of one task: a function of the task's seed and the token's
/// index in the answer, and of nothing else. There is no generator whose state a restart could lose.
///
/// Seed and index go through the finalizer of SplitMix64 (Steele, Lea and Flood, 2014) one after the
/// other; the upper 53 bits become the number.
#[must_use]
pub fn uniform(seed: u64, index: u64) -> f64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let stream = mix(seed.wrapping_add(GOLDEN));
    let bits = mix(stream ^ mix(index.wrapping_mul(GOLDEN).wrapping_add(GOLDEN))) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
    let numerator = bits as f64;
    numerator / 9_007_199_254_740_992.0 // 2^53
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
