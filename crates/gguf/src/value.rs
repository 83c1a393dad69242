use std::fmt;

use crate::Array;

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An unsigned byte.
    U8(u8),
    /// A signed byte.
    I8(i8),
    /// An unsigned 16-bit number.
    U16(u16),
    /// A signed 16-bit number.
    I16(i16),
    /// An unsigned 32-bit number.
    U32(u32),
    /// A signed 32-bit number.
    I32(i32),
    /// A single-precision number.
    F32(f32),
    /// A boolean.
    Bool(bool),
    /// A text.
    Str(String),
    /// A flat array.
    Array(Array),
    /// An unsigned 64-bit number.
    U64(u64),
    /// A signed 64-bit number.
    I64(i64),
    /// A double-precision number.
    F64(f64),
}

impl Value {
    /// The type of the value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::Str(_) => ValueType::Str,
            Self::Array(_) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// The value as an unsigned number; `None` when it is not an integer or is negative. Converters do
    /// not agree on widths and signs, so any integer type will do.
    pub fn to_unsigned(&self) -> Option<u64> {
        match *self {
            Self::U8(number) => Some(number.into()),
            Self::U16(number) => Some(number.into()),
            Self::U32(number) => Some(number.into()),
            Self::U64(number) => Some(number),
            Self::I8(number) => number.try_into().ok(),
            Self::I16(number) => number.try_into().ok(),
            Self::I32(number) => number.try_into().ok(),
            Self::I64(number) => number.try_into().ok(),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::Str(_) | Self::Array(_) => None,
        }
    }
}

/// The type of a metadata value; the discriminants are the codes written in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ValueType {
    /// An unsigned byte.
    U8 = 0,
    /// A signed byte.
    I8 = 1,
    /// An unsigned 16-bit number.
    U16 = 2,
    /// A signed 16-bit number.
    I16 = 3,
    /// An unsigned 32-bit number.
    U32 = 4,
    /// A signed 32-bit number.
    I32 = 5,
    /// A single-precision number.
    F32 = 6,
    /// A boolean.
    Bool = 7,
    /// A text.
    Str = 8,
    /// An array.
    Array = 9,
    /// An unsigned 64-bit number.
    U64 = 10,
    /// A signed 64-bit number.
    I64 = 11,
    /// A double-precision number.
    F64 = 12,
}

impl ValueType {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::Str,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    /// The type that a file's code stands for, if there is one.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The code written in files.
    pub fn code(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "a u8",
            Self::I8 => "an i8",
            Self::U16 => "a u16",
            Self::I16 => "an i16",
            Self::U32 => "a u32",
            Self::I32 => "an i32",
            Self::F32 => "an f32",
            Self::Bool => "a boolean",
            Self::Str => "a text",
            Self::Array => "an array",
            Self::U64 => "a u64",
            Self::I64 => "an i64",
            Self::F64 => "an f64",
        })
    }
}
