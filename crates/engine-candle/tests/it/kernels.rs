use engine_candle::{Kernels, Q8Matrix, Q8Rows, uniform};

/// Numbers between -1 and 1 that look random and are the same each time.
#[expect(clippy::cast_possible_truncation, reason = "any number near it will do")]
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    (0..count as u64).map(|index| (uniform(seed, index) * 2.0 - 1.0) as f32).collect()
}

fn matrix(rows: usize, cols: usize, values: &[f32]) -> Q8Matrix {
    let mut matrix = Q8Matrix::zeros(rows, cols);
    matrix.set_rows(0, values);
    matrix
}

fn product(kernels: Kernels, weights: &Q8Matrix, inputs: &[f32]) -> Vec<f32> {
    let mut rows = Q8Rows::default();
    rows.set(inputs, weights.cols());
    let mut out = vec![0.0; weights.rows() * rows.rows()];
    weights.multiply(kernels, &rows, &mut out);
    out
}

/// Verifies: ORCH-291
#[test]
fn all_instruction_sets_give_the_same_bits() {
    for (rows, blocks, inputs) in [(1, 1, 1), (3, 2, 4), (33, 3, 5), (70, 18, 1), (40, 7, 11)] {
        let weights = matrix(rows, blocks * 32, &numbers(1, rows * blocks * 32));
        let inputs = numbers(2, inputs * blocks * 32);
        let expected = product(Kernels::Portable, &weights, &inputs);
        let found = product(Kernels::detect(), &weights, &inputs);
        let bits = |numbers: &[f32]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&expected), "{rows} rows of {blocks} blocks");
    }
}

#[test]
fn products_are_close_to_those_of_the_unrounded_numbers() {
    let (rows, cols) = (50, 576);
    let (weights, inputs) = (numbers(3, rows * cols), numbers(4, 6 * cols));
    let found = product(Kernels::detect(), &matrix(rows, cols, &weights), &inputs);
    for (i, &found) in found.iter().enumerate() {
        let (input, row) =
            (&inputs[i / rows * cols..][..cols], &weights[i % rows * cols..][..cols]);
        let exact: f64 = row.iter().zip(input).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
        assert!((f64::from(found) - exact).abs() < 0.2, "{found} is not {exact}");
    }
}

#[test]
fn the_largest_codes_of_either_sign_do_not_saturate() {
    for (weight, input) in [(2.0, 3.0), (-2.0, 3.0), (2.0, -3.0), (-2.0, -3.0)] {
        let weights = matrix(1, 64, &[weight; 64]);
        for kernels in [Kernels::Portable, Kernels::detect()] {
            let [found] = product(kernels, &weights, &[input; 64])[..] else { panic!("one row") };
            assert!((found - weight * input * 64.0).abs() < 1e-3, "{found}");
        }
    }
}

#[test]
fn rows_are_read_back_with_eight_bits() {
    let values = numbers(5, 3 * 64);
    let matrix = matrix(3, 64, &values);
    let mut row = [0.0; 64];
    matrix.read_row(1, &mut row);
    for (found, expected) in row.iter().zip(&values[64..]) {
        assert!((found - expected).abs() <= 0.5 / 127.0, "{found} is not {expected}");
    }
}

#[test]
fn a_number_that_is_not_finite_is_not_hidden() {
    let weights = matrix(2, 64, &numbers(6, 128));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for kernels in [Kernels::Portable, Kernels::detect()] {
            let mut input = numbers(7, 64);
            input[40] = bad;
            assert!(product(kernels, &weights, &input).iter().all(|product| !product.is_finite()));
        }
    }
}

#[test]
fn numbers_too_small_for_a_scale_count_as_zero() {
    let weights = matrix(1, 32, &[1.0; 32]);
    for tiny in [0.0, f32::MIN_POSITIVE, 1e-45] {
        assert!(product(Kernels::detect(), &weights, &[tiny; 32])[0].abs() < 1e-30);
    }
}
