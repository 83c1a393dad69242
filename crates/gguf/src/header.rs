use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::source::Source;
use crate::{GgufError, Limits, Metadata, TensorInfo, tensor};

const MAGIC: [u8; 4] = *b"GGUF";
const ALIGNMENT_KEY: &str = "general.alignment";
/// What the format says when the file does not.
const ALIGNMENT_DEFAULT: u64 = 32;
/// Far above what any file uses (32 to 4,096).
const ALIGNMENT_MAX: u64 = 1 << 20;

/// The header of one GGUF file, with every count, offset and length held against the file's size.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Version of the format, 2 or 3.
    pub version: u32,
    /// What the file says about its model.
    pub metadata: Metadata,
    /// The tensors in the order of the directory.
    pub tensors: Vec<TensorInfo>,
    /// Where the tensor data starts, in bytes from the start of the file. At most the file's size unless
    /// the file has no tensors.
    pub data_offset: u64,
    /// What tensor offsets are multiples of, in bytes; a power of two.
    pub alignment: u64,
}

impl Header {
    /// Reads the header from the first bytes of a file of `file_len` bytes, with the default [`Limits`].
    ///
    /// The prefix must hold the whole header; [`GgufError::Truncated`] says where it ended. Tensor data
    /// need not be in it, but must fit `file_len`.
    ///
    /// # Errors
    /// What is wrong with the header, and where.
    pub fn parse(prefix: &[u8], file_len: u64) -> Result<Self, GgufError> {
        Self::parse_with(prefix, file_len, Limits::default())
    }

    /// As [`Header::parse`], with limits of one's own.
    ///
    /// # Errors
    /// What is wrong with the header, and where.
    pub fn parse_with(prefix: &[u8], file_len: u64, limits: Limits) -> Result<Self, GgufError> {
        let end = file_len.min(prefix.len() as u64);
        parse(Source::new(prefix, end, limits), file_len)
    }

    /// Reads the header from the start of a file, with the default [`Limits`].
    ///
    /// The file's size is where it ends. Reads are buffered; the reader is left somewhere after the
    /// header.
    ///
    /// # Errors
    /// What is wrong with the header, and where, or that the file could not be read.
    pub fn read(reader: impl Read + Seek) -> Result<Self, GgufError> {
        Self::read_with(reader, Limits::default())
    }

    /// As [`Header::read`], with limits of one's own.
    ///
    /// # Errors
    /// What is wrong with the header, and where, or that the file could not be read.
    pub fn read_with(mut reader: impl Read + Seek, limits: Limits) -> Result<Self, GgufError> {
        let at_start = |source| GgufError::Io { offset: 0, source };
        let file_len = reader.seek(SeekFrom::End(0)).map_err(at_start)?;
        reader.seek(SeekFrom::Start(0)).map_err(at_start)?;
        parse(Source::new(BufReader::new(reader), file_len, limits), file_len)
    }

    /// The tensor called `name`, if the file has it. Walks the directory.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

fn parse<R: Read>(mut source: Source<R>, file_len: u64) -> Result<Header, GgufError> {
    let version = parse_version(&mut source)?;
    let tensor_count = source.count("number of tensors", source.limits().tensors_max)?;
    let pair_count = source.count("number of metadata pairs", source.limits().pairs_max)?;
    let metadata = Metadata::parse(&mut source, pair_count)?;
    let alignment = alignment(&metadata)?;
    let mut tensors = tensor::parse_directory(&mut source, tensor_count)?;
    let end = source.position();
    let data_offset = end.next_multiple_of(alignment);
    tensor::place(&mut tensors, data_offset, alignment, file_len)?;
    Ok(Header { version, metadata, tensors, data_offset, alignment })
}

fn parse_version<R: Read>(source: &mut Source<R>) -> Result<u32, GgufError> {
    if source.remaining() < MAGIC.len() as u64 {
        let (mut found, len) = (Vec::new(), source.remaining());
        source.bytes("magic", len, &mut found)?;
        return Err(GgufError::NotGguf { found });
    }
    let magic: [u8; 4] = source.array("magic")?;
    if magic != MAGIC {
        return Err(GgufError::NotGguf { found: magic.to_vec() });
    }
    match source.u32("version")? {
        version @ 2..=3 => Ok(version),
        version if (1..=3).contains(&version.swap_bytes()) => Err(GgufError::BigEndian),
        version => Err(GgufError::UnsupportedVersion { version }),
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    if metadata.get(ALIGNMENT_KEY).is_none() {
        return Ok(ALIGNMENT_DEFAULT);
    }
    let found = metadata.u64(ALIGNMENT_KEY)?;
    if !found.is_power_of_two() || found > ALIGNMENT_MAX {
        return Err(GgufError::InvalidAlignment { found, limit: ALIGNMENT_MAX });
    }
    Ok(found)
}
