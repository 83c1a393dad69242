use crate::exponential::exp;

/// What one head of one token attends with and to.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    /// The query, turned by its position.
    pub(crate) query: &'a [f32],
    /// Keys of all positions, the token's own last: `stride` numbers each, of which the head's own come
    /// first.
    pub(crate) keys: &'a [f32],
    /// Values, laid out like the keys.
    pub(crate) values: &'a [f32],
    /// Numbers from one position to the next.
    pub(crate) stride: usize,
    /// How many positions there are.
    pub(crate) positions: usize,
}

/// Softmax over the positions of query times key, and the values' mean weighted with it. `dot` gives the
/// bits of [`dot`]. Written in loops,
/// as what is in a closure would not be compiled for the caller's instruction set.
#[inline(always)]
pub(crate) fn attend(
    head: Head<'_>,
    scores: &mut Vec<f32>,
    out: &mut [f32],
    dot: impl Fn(&[f32], &[f32]) -> f32,
) {
    let width = head.query.len();
    #[expect(clippy::cast_precision_loss, reason = "a head has a few hundred numbers")]
    let scale = 1.0 / (width as f32).sqrt();
    scores.resize(head.positions, 0.0);
    for (score, key) in scores.iter_mut().zip(head.keys.chunks(head.stride)) {
        *score = dot(head.query, &key[..width]) * scale;
    }
    soften(scores);
    out.fill(0.0);
    for (weight, value) in scores.iter().zip(head.values.chunks(head.stride)) {
        for (sum, number) in out.iter_mut().zip(&value[..width]) {
            *sum += weight * number;
        }
    }
}

/// Turns scores into weights that sum to one.
#[inline(always)]
fn soften(scores: &mut [f32]) {
    let mut max = f32::NEG_INFINITY;
    for &score in scores.iter() {
        max = if score > max { score } else { max };
    }
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    let scale = 1.0 / sum(scores);
    for score in scores.iter_mut() {
        *score *= scale;
    }
}

/// Eight lanes side by side, added at the end lanes four, two and one apart; what is left over follows in
/// order. A fixed order of additions is what makes results independent of the instruction set.
#[inline(always)]
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<8>();
    let (right, right_rest) = right.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (left, right) in left.iter().zip(right) {
        for ((lane, l), r) in lanes.iter_mut().zip(left).zip(right) {
            *lane += l * r;
        }
    }
    let mut sum = fold(lanes);
    for (l, r) in left_rest.iter().zip(right_rest) {
        sum += l * r;
    }
    sum
}

#[inline(always)]
fn sum(numbers: &[f32]) -> f32 {
    let (chunks, rest) = numbers.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for (lane, number) in lanes.iter_mut().zip(chunk) {
            *lane += number;
        }
    }
    let mut sum = fold(lanes);
    for number in rest {
        sum += number;
    }
    sum
}

#[inline(always)]
fn fold(lanes: [f32; 8]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
