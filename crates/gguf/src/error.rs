use crate::ValueType;

/// Why a header was refused, or why a fact could not be read from one.
///
/// Offsets are absolute, in bytes from the start of the file, and point at the field that is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it starts with {found:02x?} instead of \"GGUF\"")]
    NotGguf {
        /// The bytes found, fewer than four when the file is shorter.
        found: Vec<u8>,
    },
    /// The file was written on a big-endian machine.
    #[error("big-endian GGUF files are not supported; convert the file to little-endian")]
    BigEndian,
    /// A version other than 2 and 3.
    #[error("GGUF version {version} is not supported; versions 2 and 3 are")]
    UnsupportedVersion {
        /// The version that the file names.
        version: u32,
    },
    /// A field reaches past the end of the file, or of the prefix that was given.
    #[error(
        "{what} at byte {offset} needs {needed_bytes} bytes, but only {available_bytes} are there; \
         the file is truncated or its header is wrong"
    )]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it starts.
        offset: u64,
        /// How many bytes it claims.
        needed_bytes: u64,
        /// How many bytes are left.
        available_bytes: u64,
    },
    /// A count or length above the [`Limits`](crate::Limits).
    #[error("{what} at byte {offset} is {found}, above the limit of {limit}")]
    OverLimit {
        /// What is too large.
        what: &'static str,
        /// Where it is written.
        offset: u64,
        /// The value found.
        found: u64,
        /// The largest value accepted.
        limit: u64,
    },
    /// A key, name or text that is not UTF-8.
    #[error("{what} at byte {offset} is not valid UTF-8")]
    NotUtf8 {
        /// What was being read.
        what: &'static str,
        /// Where its bytes start.
        offset: u64,
        /// The decoder's report.
        #[source]
        source: std::str::Utf8Error,
    },
    /// A metadata value or array element of a type that does not exist.
    #[error("value type {code} at byte {offset} does not exist")]
    UnknownValueType {
        /// Where the code is written.
        offset: u64,
        /// The code found.
        code: u32,
    },
    /// An array of arrays, which no engine reads.
    #[error("array of arrays at byte {offset}; only flat arrays are accepted")]
    NestedArray {
        /// Where the inner type is written.
        offset: u64,
    },
    /// A boolean that is neither 0 nor 1.
    #[error("boolean at byte {offset} is {found}, expected 0 or 1")]
    InvalidBool {
        /// Where the byte is.
        offset: u64,
        /// The byte found.
        found: u8,
    },
    /// The same metadata key twice.
    #[error("metadata key `{key}` appears twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The same tensor name twice.
    #[error("tensor `{name}` appears twice")]
    DuplicateTensor {
        /// The name.
        name: String,
    },
    /// `general.alignment` is not a usable power of two.
    #[error("alignment {found} is not a power of two between 1 and {limit}")]
    InvalidAlignment {
        /// The value found.
        found: u64,
        /// The largest alignment accepted.
        limit: u64,
    },
    /// A tensor with no dimension or more than four.
    #[error("tensor `{name}` at byte {offset} has {found} dimensions, expected 1 to 4")]
    InvalidRank {
        /// The tensor.
        name: String,
        /// Where the number is written.
        offset: u64,
        /// The number found.
        found: u32,
    },
    /// A dimension of zero.
    #[error("tensor `{name}` has a dimension of 0 at byte {offset}")]
    ZeroDimension {
        /// The tensor.
        name: String,
        /// Where the dimension is written.
        offset: u64,
    },
    /// The product of the dimensions, or the size in bytes, does not fit.
    #[error("tensor `{name}` is too large: {dims:?} overflows")]
    SizeOverflow {
        /// The tensor.
        name: String,
        /// Its dimensions.
        dims: Vec<u64>,
    },
    /// A tensor type that does not exist or whose support was removed.
    #[error("tensor `{name}` has type {code} at byte {offset}, which is unknown")]
    UnknownTensorType {
        /// The tensor.
        name: String,
        /// Where the type is written.
        offset: u64,
        /// The code found.
        code: u32,
    },
    /// Rows that do not divide into whole blocks of the tensor's type.
    #[error("tensor `{name}` has rows of {row} elements, not a multiple of its block of {block}")]
    PartialBlock {
        /// The tensor.
        name: String,
        /// Elements in a row (the first dimension).
        row: u64,
        /// Elements in a block of the type.
        block: u64,
    },
    /// A tensor that does not start on the file's alignment.
    #[error("tensor `{name}` starts at data offset {found}, not a multiple of {alignment}")]
    Misaligned {
        /// The tensor.
        name: String,
        /// Its offset inside the tensor data.
        found: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// A tensor that ends after the file does.
    #[error(
        "tensor `{name}` of {size_bytes} bytes at data offset {relative_offset} ends past the file's \
         {file_bytes} bytes; the file is truncated or its header is wrong"
    )]
    TensorOutsideFile {
        /// The tensor.
        name: String,
        /// Its offset inside the tensor data.
        relative_offset: u64,
        /// Its size.
        size_bytes: u64,
        /// The file's size.
        file_bytes: u64,
    },
    /// Two tensors that share bytes.
    #[error("tensors `{first}` and `{second}` overlap")]
    OverlappingTensors {
        /// The one that starts first.
        first: String,
        /// The one that starts before the first has ended.
        second: String,
    },
    /// A metadata key that was asked for is absent.
    #[error("the file has no metadata key `{key}`")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A metadata key that was asked for holds another type, or a number that does not fit.
    #[error("metadata key `{key}` is {found}, expected {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// What was asked for.
        expected: &'static str,
        /// What the file holds.
        found: ValueType,
    },
    /// A metadata value that has the right type and makes no sense.
    #[error("metadata key `{key}` is {found}, expected {expected}")]
    InvalidFact {
        /// The key.
        key: String,
        /// What would make sense.
        expected: &'static str,
        /// What the file holds.
        found: String,
    },
    /// The file could not be read.
    #[error("cannot read the file at byte {offset}")]
    Io {
        /// Where the read started.
        offset: u64,
        /// The system's report.
        #[source]
        source: std::io::Error,
    },
}
