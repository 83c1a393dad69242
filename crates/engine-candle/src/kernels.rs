use crate::{attention, matrix::Rows};

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

/// Which instructions the inner loops are compiled for. All give the same bits; they differ in speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// What the compiler's baseline offers; the reference for the others.
    Portable,
    /// x86-64 with AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2Token),
}

/// Proof that this processor has AVX2; only [`Kernels::detect`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2Token(());

impl Kernels {
    /// The fastest that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self::Avx2(Avx2Token(()));
        }
        Self::Portable
    }

    /// The name that is recorded with an attempt.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
        }
    }

    /// Multiplies each row of `weights` with each row of `inputs`; the product of weight row `r` and input
    /// row `t` goes to `out[t * stride + r]`.
    pub(crate) fn multiply(
        self,
        weights: Rows<'_>,
        inputs: Rows<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        match self {
            Self::Portable => portable::multiply(weights, inputs, out, stride),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls code for instructions found at run time")]
            // SAFETY: an `Avx2Token` exists only where the processor has AVX2.
            Self::Avx2(_) => unsafe { avx2::multiply(weights, inputs, out, stride) },
        }
    }

    /// One head of one token looks at everything before it.
    pub(crate) fn attend(self, head: attention::Head<'_>, scores: &mut Vec<f32>, out: &mut [f32]) {
        match self {
            Self::Portable => attention::attend(head, scores, out, attention::dot),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls code for instructions found at run time")]
            // SAFETY: an `Avx2Token` exists only where the processor has AVX2.
            Self::Avx2(_) => unsafe { avx2::attend(head, scores, out) },
        }
    }
}

/// Tokens whose products with one row of weights are computed together, so that the row is read once.
const TILE: usize = 4;

/// The loops around the dot products, which each instruction set brings itself: `$dot_tile` for [`TILE`]
/// inputs at once, `$dot` for one. A macro, so that the loops are compiled for the instruction set too: the
/// compiler puts no function compiled for AVX2 into one that is not.
macro_rules! multiply_with {
    ($weights:ident, $inputs:ident, $out:ident, $stride:ident, $dot_tile:path, $dot:path) => {
        let tiled = $inputs.count() - $inputs.count() % $crate::kernels::TILE;
        for r in 0..$weights.count() {
            let row = $weights.row(r);
            let mut t = 0;
            while t < tiled {
                let tile =
                    [$inputs.row(t), $inputs.row(t + 1), $inputs.row(t + 2), $inputs.row(t + 3)];
                for product in $dot_tile(row, tile) {
                    $out[t * $stride + r] = product;
                    t += 1;
                }
            }
            for t in tiled..$inputs.count() {
                $out[t * $stride + r] = $dot(row, $inputs.row(t));
            }
        }
    };
}
use multiply_with;
