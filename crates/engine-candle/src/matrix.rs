use rayon::prelude::*;

use crate::Kernels;

/// Numbers that share a scale.
pub(crate) const BLOCK: usize = 32;

/// 32 numbers: each is its code times the common scale.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Block {
    pub(crate) scale: f32,
    pub(crate) codes: [i8; BLOCK],
}

/// A borrowed run of rows of blocks.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    blocks: &'a [Block],
    row_blocks: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        self.blocks.len() / self.row_blocks
    }

    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> &'a [Block] {
        self.slice(row, 1).blocks
    }

    #[inline(always)]
    fn slice(self, first: usize, count: usize) -> Self {
        let blocks = &self.blocks[first * self.row_blocks..(first + count) * self.row_blocks];
        Self { blocks, ..self }
    }
}

/// A matrix of weights: blocks of 32 numbers along a row, each with eight bits and a common scale. What
/// ggml calls `Q8_0`, but with the scale in single precision, apart from the codes.
#[derive(Debug, Clone, PartialEq)]
pub struct Q8Matrix {
    rows: usize,
    row_blocks: usize,
    blocks: Vec<Block>,
}

impl Q8Matrix {
    /// A matrix of `rows` times `cols` zeros.
    ///
    /// # Panics
    /// If `cols` is not a positive multiple of 32.
    #[must_use]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        let row_blocks = row_blocks(cols);
        Self { rows, row_blocks, blocks: vec![Block::default(); rows * row_blocks] }
    }

    /// Replaces the rows from `first` on with `values`, row after row, rounded to eight bits.
    ///
    /// # Panics
    /// If `values` is not a whole number of rows, or they do not fit.
    pub fn set_rows(&mut self, first: usize, values: &[f32]) {
        let (values, rest) = values.as_chunks::<BLOCK>();
        assert!(rest.is_empty() && values.len().is_multiple_of(self.row_blocks), "whole rows");
        let blocks = &mut self.blocks[first * self.row_blocks..][..values.len()];
        blocks.par_iter_mut().zip(values).with_min_len(BLOCKS_MIN).for_each(|(block, values)| {
            *block = quantise(values);
        });
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.row_blocks * BLOCK
    }

    /// Writes the numbers of one row to `out`.
    pub fn read_row(&self, row: usize, out: &mut [f32]) {
        for (out, block) in out.chunks_exact_mut(BLOCK).zip(self.as_rows().row(row)) {
            for (out, &code) in out.iter_mut().zip(&block.codes) {
                *out = f32::from(code) * block.scale;
            }
        }
    }

    /// Multiplies every row with each of `inputs`: the product of row `r` and input `t` goes to
    /// `out[t * rows + r]`. Work is shared among the threads of the rayon pool it is called in; which
    /// thread computes a product does not change it.
    ///
    /// # Panics
    /// If the widths differ or `out` has another length.
    pub fn multiply(&self, kernels: Kernels, inputs: &Q8Rows, out: &mut [f32]) {
        assert_eq!(self.row_blocks, inputs.row_blocks, "rows and inputs are equally wide");
        assert_eq!(out.len(), self.rows * inputs.rows(), "one product for each row and input");
        let (weights, inputs) = (self.as_rows(), inputs.as_rows());
        let shares = SHARES_PER_THREAD * rayon::current_num_threads();
        if inputs.count() == 1 {
            let rows = self.rows.div_ceil(shares).max(ROWS_MIN);
            out.par_chunks_mut(rows).enumerate().for_each(|(i, out)| {
                let count = out.len();
                kernels.multiply(weights.slice(i * rows, count), inputs, out, count);
            });
        } else {
            let tokens = inputs.count().div_ceil(shares).next_multiple_of(4);
            out.par_chunks_mut(tokens * self.rows).enumerate().for_each(|(i, out)| {
                let inputs = inputs.slice(i * tokens, out.len() / self.rows);
                kernels.multiply(weights, inputs, out, self.rows);
            });
        }
    }

    fn as_rows(&self) -> Rows<'_> {
        Rows { blocks: &self.blocks, row_blocks: self.row_blocks }
    }
}

/// Shares of a product per thread: more than one, so that a thread that was interrupted is waited for
/// less.
const SHARES_PER_THREAD: usize = 4;
/// Fewest rows in a share; below this handing it to another thread costs more than computing it.
const ROWS_MIN: usize = 32;
/// Fewest blocks rounded by one thread, for the same reason.
const BLOCKS_MIN: usize = 256;

/// Inputs of a multiplication, rounded to the same blocks as the weights. Its memory is used again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Q8Rows {
    row_blocks: usize,
    blocks: Vec<Block>,
}

impl Q8Rows {
    /// Replaces the content with `values`, `cols` in each row. A number that is not finite makes its whole
    /// block not finite.
    ///
    /// # Panics
    /// If `cols` is not a positive multiple of 32, or `values` not a whole number of rows.
    pub fn set(&mut self, values: &[f32], cols: usize) {
        self.row_blocks = row_blocks(cols);
        assert!(values.len().is_multiple_of(cols), "whole rows");
        let (values, _) = values.as_chunks::<BLOCK>();
        self.blocks.resize(values.len(), Block::default());
        let rows = self.blocks.par_chunks_mut(self.row_blocks);
        rows.zip(values.par_chunks(self.row_blocks)).for_each(|(row, values)| {
            for (block, values) in row.iter_mut().zip(values) {
                *block = quantise(values);
            }
        });
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.as_rows().count()
    }

    fn as_rows(&self) -> Rows<'_> {
        Rows { blocks: &self.blocks, row_blocks: self.row_blocks }
    }
}

fn row_blocks(cols: usize) -> usize {
    assert!(cols > 0 && cols.is_multiple_of(BLOCK), "a row is whole blocks of {BLOCK}");
    cols / BLOCK
}

/// Rounds 32 numbers to multiples of their largest magnitude over 127; codes are -127 to 127.
#[inline(always)]
fn quantise(values: &[f32; BLOCK]) -> Block {
    // Adding this to a small float leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    let mut max = 0.0_f32;
    let mut poison = 0.0; // stays zero unless a number is infinite or none: the maximum would hide it
    for &value in values {
        max = max.max(value.abs());
        poison += value * 0.0;
    }
    let inverse = Some(127.0 / max).filter(|inverse| inverse.is_finite()).unwrap_or(0.0);
    let codes = values.map(|value| {
        #[expect(clippy::cast_possible_truncation, reason = "the low byte is the code")]
        let code = (value * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i8;
        code
    });
    Block { scale: max / 127.0 + poison, codes }
}
