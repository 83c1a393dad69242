/// Rotary position embedding of the llama architecture: neighbouring pairs of a head's numbers are turned
/// by an angle that grows with the position.
pub(crate) struct Rope {
    /// Angle per position of each pair, in radians.
    steps: Vec<f64>,
}

impl Rope {
    /// Turns the first `width` numbers of a head; pair `i` by `base^(-2i / width)` a position, divided by
    /// `scale` and, where the model has factors, by its own.
    pub(crate) fn new(width: usize, base: f32, scale: f32, factors: Option<&[f32]>) -> Self {
        let step = |pair: usize| {
            #[expect(clippy::cast_precision_loss, reason = "a head has a few hundred numbers")]
            let exponent = -2.0 * pair as f64 / width as f64;
            let factor = factors.map_or(1.0, |factors| f64::from(factors[pair]));
            f64::from(base).powf(exponent) / f64::from(scale) / factor
        };
        Self { steps: (0..width / 2).map(step).collect() }
    }

    /// Cosine and sine for each pair at one position.
    pub(crate) fn angles(&self, position: usize) -> impl Iterator<Item = (f32, f32)> {
        self.steps.iter().map(move |step| {
            #[expect(clippy::cast_precision_loss, reason = "contexts are far below 2^53")]
            let (sin, cos) = (step * position as f64).sin_cos();
            #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
            let rounded = (cos as f32, sin as f32);
            rounded
        })
    }

    /// Pairs of a head that are turned.
    pub(crate) fn pairs(&self) -> usize {
        self.steps.len()
    }
}

/// Turns one head.
pub(crate) fn turn(head: &mut [f32], angles: &[(f32, f32)]) {
    let (pairs, _) = head.as_chunks_mut::<2>();
    for ([x, y], (cos, sin)) in pairs.iter_mut().zip(angles) {
        (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
    }
}
