//! Delays between attempts. Pure, and the same for the same seed.

use std::time::Duration;

use crate::settings::{Jitter, RetryPolicy};

/// The delay before retry `retry` (from 1) of a critic, in nanoseconds, before any `retry_after` is looked at.
pub(crate) fn delay_ns(policy: &RetryPolicy, seed: u64, critic: &str, retry: u32) -> u64 {
    let longest = longest_ns(policy, retry);
    let spread = |most: u64| fraction_of(most, random(seed, critic, retry));
    match policy.jitter {
        Jitter::None => longest,
        Jitter::Full => spread(longest),
        Jitter::Equal => longest / 2 + spread(longest - longest / 2),
    }
}

/// `min(cap, base * multiplier^(retry - 1))`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast stops at the ends"
)]
fn longest_ns(policy: &RetryPolicy, retry: u32) -> u64 {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let exponent = i32::try_from(retry.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = nanos(policy.base) as f64 * policy.multiplier.powi(exponent);
    nanos(policy.cap).min(grown.round() as u64)
}

/// So much of `most` as the random bits say, `most` included.
fn fraction_of(most: u64, random: u64) -> u64 {
    let scaled = ((u128::from(most) + 1) * u128::from(random)) >> 64;
    u64::try_from(scaled).unwrap_or(most)
}

/// 64 random bits that depend on nothing but the seed, the critic and the attempt.
fn random(seed: u64, critic: &str, retry: u32) -> u64 {
    // FNV-1a spreads the name, splitmix64 mixes it with the rest.
    let name = critic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut state = mix(seed) ^ mix(name.wrapping_add(u64::from(retry)));
    state = mix(state);
    state
}

fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
