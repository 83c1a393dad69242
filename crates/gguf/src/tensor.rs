use std::io::Read;

use crate::source::Source;
use crate::{GgmlType, GgufError};

/// Fewest bytes that a directory entry takes in a file: an empty name's length, one dimension, the
/// number of dimensions, type and offset.
const ENTRY_BYTES_MIN: u64 = 8 + 4 + 8 + 4 + 8;

/// Most dimensions that ggml has.
const RANK_MAX: u32 = 4;

/// One tensor of the directory. It lies inside the file: `offset + size_bytes` is at most its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The tensor's name, such as `blk.0.attn_q.weight`; unique in the file.
    pub name: String,
    /// One to four dimensions, the fastest-moving (the row) first; none is zero.
    pub dims: Vec<u64>,
    /// How its numbers are stored.
    pub ggml_type: GgmlType,
    /// Where its bytes start, counted from the start of the file.
    pub offset: u64,
    /// How many bytes it takes.
    pub size_bytes: u64,
}

/// Reads `count` entries. Their offsets are still those of the file, relative to the tensor data.
pub(crate) fn parse_directory<R: Read>(
    source: &mut Source<R>,
    count: u64,
) -> Result<Vec<TensorInfo>, GgufError> {
    source.require("tensor directory", count.saturating_mul(ENTRY_BYTES_MIN))?;
    let (mut tensors, mut buffer) = (Vec::new(), Vec::new());
    for _ in 0..count {
        tensors.push(parse_entry(source, &mut buffer)?);
    }
    Ok(tensors)
}

fn parse_entry<R: Read>(
    source: &mut Source<R>,
    buffer: &mut Vec<u8>,
) -> Result<TensorInfo, GgufError> {
    let name_bytes_max = source.limits().name_bytes_max;
    let name = source.text("tensor name", name_bytes_max, buffer)?.to_owned();
    let rank_offset = source.position();
    let rank = source.u32("number of dimensions")?;
    if rank == 0 || rank > RANK_MAX {
        return Err(GgufError::InvalidRank { name, offset: rank_offset, found: rank });
    }
    let mut dims = Vec::with_capacity(rank as usize);
    for _ in 0..rank {
        let offset = source.position();
        match source.u64("tensor dimension")? {
            0 => return Err(GgufError::ZeroDimension { name, offset }),
            dim => dims.push(dim),
        }
    }
    let type_offset = source.position();
    let code = source.u32("tensor type")?;
    let Some(ggml_type) = GgmlType::from_code(code) else {
        return Err(GgufError::UnknownTensorType { name, offset: type_offset, code });
    };
    let offset = source.u64("tensor offset")?;
    let size_bytes = size_bytes(&name, &dims, ggml_type)?;
    Ok(TensorInfo { name, dims, ggml_type, offset, size_bytes })
}

fn size_bytes(name: &str, dims: &[u64], ggml_type: GgmlType) -> Result<u64, GgufError> {
    let (row, block) = (dims[0], ggml_type.block_elements());
    if !row.is_multiple_of(block) {
        return Err(GgufError::PartialBlock { name: name.to_owned(), row, block });
    }
    // Engines count in signed 64-bit numbers, so what overflows theirs is refused here.
    let checked = |product: u64, factor: u64| {
        product.checked_mul(factor).filter(|&product| i64::try_from(product).is_ok())
    };
    dims.iter()
        .try_fold(1, |elements, &dim| checked(elements, dim))
        .and_then(|elements| checked(elements / block, ggml_type.block_bytes()))
        .ok_or_else(|| GgufError::SizeOverflow { name: name.to_owned(), dims: dims.to_vec() })
}

/// Turns relative offsets into absolute ones, and checks that each tensor is aligned, lies inside the
/// file, has a name of its own and shares no byte with another.
pub(crate) fn place(
    tensors: &mut [TensorInfo],
    data_offset: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<(), GgufError> {
    for tensor in tensors.iter_mut() {
        let relative_offset = tensor.offset;
        if !relative_offset.is_multiple_of(alignment) {
            return Err(GgufError::Misaligned {
                name: tensor.name.clone(),
                found: relative_offset,
                alignment,
            });
        }
        let offset = data_offset.checked_add(relative_offset);
        let end = offset.and_then(|offset| offset.checked_add(tensor.size_bytes));
        match (offset, end) {
            (Some(offset), Some(end)) if end <= file_bytes => tensor.offset = offset,
            _ => {
                return Err(GgufError::TensorOutsideFile {
                    name: tensor.name.clone(),
                    relative_offset,
                    size_bytes: tensor.size_bytes,
                    file_bytes,
                });
            }
        }
    }
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    if let Some(pair) = order.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(GgufError::DuplicateTensor { name: pair[0].name.clone() });
    }
    order.sort_unstable_by_key(|tensor| tensor.offset);
    match order.windows(2).find(|pair| pair[0].offset + pair[0].size_bytes > pair[1].offset) {
        Some(pair) => Err(GgufError::OverlappingTensors {
            first: pair[0].name.clone(),
            second: pair[1].name.clone(),
        }),
        None => Ok(()),
    }
}
