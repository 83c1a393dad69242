use std::{
    collections::HashSet,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use camino::{Utf8Path, Utf8PathBuf};
use candle_core::{
    Device,
    quantized::{GgmlDType, ggml_file::qtensor_from_ggml},
};
use gguf::{Header, TensorInfo};

use crate::{LoadError, Q8Matrix};

/// The tensors of a model file, read one after the other and turned into eight-bit blocks on the way, so
/// that never more than a few rows are in memory in any other form.
pub(crate) struct Weights<'a> {
    path: &'a Utf8Path,
    file: File,
    header: &'a Header,
    unread: HashSet<&'a str>,
    done_bytes: u64,
    /// Told the bytes read so far; false stops loading.
    progress: &'a mut dyn FnMut(u64) -> bool,
}

/// Bytes of a file that are turned at once: enough for a read to be cheap.
const PIECE_BYTES: usize = 1 << 20;

impl<'a> Weights<'a> {
    pub(crate) fn new(
        path: &'a Utf8Path,
        file: File,
        header: &'a Header,
        progress: &'a mut dyn FnMut(u64) -> bool,
    ) -> Self {
        let unread = header.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        Self { path, file, header, unread, done_bytes: 0, progress }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.header.tensor(name).is_some()
    }

    /// Reads a tensor of one dimension.
    pub(crate) fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let tensor = self.tensor(name, &[len])?;
        let mut values = Vec::new();
        self.read(tensor, len, |_first, piece| values.extend_from_slice(piece))?;
        Ok(values)
    }

    /// Reads tensors of `cols` columns and the given numbers of rows into one matrix, below each other.
    pub(crate) fn matrix(
        &mut self,
        parts: &[(&str, usize)],
        cols: usize,
    ) -> Result<Q8Matrix, LoadError> {
        // Before memory is taken: the file must hold what the header promises.
        let tensors = parts.iter().map(|&(name, rows)| self.tensor(name, &[cols, rows]));
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        let mut matrix = Q8Matrix::zeros(parts.iter().map(|(_, rows)| rows).sum(), cols);
        let mut first = 0;
        for (tensor, &(_, rows)) in tensors.into_iter().zip(parts) {
            self.read(tensor, cols, |row, piece| matrix.set_rows(first + row, piece))?;
            first += rows;
        }
        Ok(matrix)
    }

    /// Refuses a model with tensors that nobody asked for: it would need a computation that is not made.
    pub(crate) fn finish(self) -> Result<(), LoadError> {
        match self.unread.iter().min() {
            None => Ok(()),
            Some(name) => Err(LoadError::Unsupported { what: format!("it has a tensor `{name}`") }),
        }
    }

    fn tensor(&self, name: &str, dims: &[usize]) -> Result<&'a TensorInfo, LoadError> {
        let inconsistent = |what| LoadError::Inconsistent { what };
        let Some(tensor) = self.header.tensor(name) else {
            return Err(inconsistent(format!("it has no tensor `{name}`")));
        };
        if !tensor.dims.iter().copied().eq(dims.iter().map(|&dim| dim as u64)) {
            let found = &tensor.dims;
            return Err(inconsistent(format!("tensor `{name}` is {found:?}, not {dims:?}")));
        }
        Ok(tensor)
    }

    /// Hands the numbers of a tensor to `take`, some rows at once, with the index of the first.
    fn read(
        &mut self,
        tensor: &'a TensorInfo,
        cols: usize,
        mut take: impl FnMut(usize, &[f32]),
    ) -> Result<(), LoadError> {
        let name = tensor.name.as_str();
        let ggml_type = ggml_type(tensor)?;
        let io = |source| LoadError::Io { path: Utf8PathBuf::from(self.path), source };
        let row_bytes = cols / ggml_type.block_size() * ggml_type.type_size();
        let size_bytes = usize::try_from(tensor.size_bytes).expect("the matrix fits memory");
        let piece_bytes = (PIECE_BYTES / row_bytes).max(1) * row_bytes;
        self.file.seek(SeekFrom::Start(tensor.offset)).map_err(io)?;
        let mut bytes = vec![0; piece_bytes.min(size_bytes)];
        let mut done = 0;
        while done < size_bytes {
            let piece = &mut bytes[..piece_bytes.min(size_bytes - done)];
            self.file.read_exact(piece).map_err(io)?;
            let values = numbers(ggml_type, piece, cols).map_err(|source| {
                LoadError::Unsupported { what: format!("tensor `{name}`: {source}") }
            })?;
            if !values.iter().all(|value| value.is_finite()) {
                let what = format!("tensor `{name}` holds numbers that are not finite");
                return Err(LoadError::Inconsistent { what });
            }
            take(done / row_bytes, &values);
            done += piece.len();
        }
        self.unread.remove(name);
        self.done_bytes += tensor.size_bytes;
        match (self.progress)(self.done_bytes) {
            true => Ok(()),
            false => Err(LoadError::Abandoned),
        }
    }
}

fn numbers(
    ggml_type: GgmlDType,
    bytes: &[u8],
    cols: usize,
) -> Result<Vec<f32>, candle_core::Error> {
    let rows = bytes.len() / ggml_type.type_size() * ggml_type.block_size() / cols;
    let blocks = qtensor_from_ggml(ggml_type, bytes, vec![rows, cols], &Device::Cpu)?;
    blocks.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()
}

/// The formats that candle reads.
fn ggml_type(tensor: &TensorInfo) -> Result<GgmlDType, LoadError> {
    Ok(match tensor.ggml_type.name() {
        "F32" => GgmlDType::F32,
        "F16" => GgmlDType::F16,
        "BF16" => GgmlDType::BF16,
        "Q4_0" => GgmlDType::Q4_0,
        "Q4_1" => GgmlDType::Q4_1,
        "Q5_0" => GgmlDType::Q5_0,
        "Q5_1" => GgmlDType::Q5_1,
        "Q8_0" => GgmlDType::Q8_0,
        "Q2_K" => GgmlDType::Q2K,
        "Q3_K" => GgmlDType::Q3K,
        "Q4_K" => GgmlDType::Q4K,
        "Q5_K" => GgmlDType::Q5K,
        "Q6_K" => GgmlDType::Q6K,
        other => {
            let what = format!("tensor `{}` is stored as {other}", tensor.name);
            return Err(LoadError::Unsupported { what });
        }
    })
}
