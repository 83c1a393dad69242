use std::io::Read;

use crate::source::Source;
use crate::{Array, GgufError, StringArray, Value, ValueType};

/// Fewest bytes that a pair takes in a file: an empty key's length, a type and a one-byte value.
const PAIR_BYTES_MIN: u64 = 8 + 4 + 1;

/// The metadata of a header: values by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// Ordered by key, each key once.
    pairs: Vec<(String, Value)>,
}

impl Metadata {
    /// The value of `key`, if the file has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let index = self.pairs.binary_search_by(|(name, _)| name.as_str().cmp(key)).ok()?;
        Some(&self.pairs[index].1)
    }

    /// All pairs, ordered by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + '_ {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The text under `key`.
    ///
    /// # Errors
    /// [`GgufError::MissingKey`] or [`GgufError::WrongType`], as for every getter here.
    pub fn str(&self, key: &str) -> Result<&str, GgufError> {
        self.typed(key, "a text", |value| match value {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The number under `key`, of any integer type, when it fits 32 bits without a sign.
    ///
    /// # Errors
    /// As for [`Metadata::str`].
    pub fn u32(&self, key: &str) -> Result<u32, GgufError> {
        self.typed(key, "an unsigned number of 32 bits", |value| {
            value.to_unsigned()?.try_into().ok()
        })
    }

    /// The number under `key`, of any integer type, when it is not negative.
    ///
    /// # Errors
    /// As for [`Metadata::str`].
    pub fn u64(&self, key: &str) -> Result<u64, GgufError> {
        self.typed(key, "an unsigned number", Value::to_unsigned)
    }

    /// The single-precision number under `key`.
    ///
    /// # Errors
    /// As for [`Metadata::str`].
    pub fn f32(&self, key: &str) -> Result<f32, GgufError> {
        self.typed(key, "an f32", |value| match value {
            Value::F32(number) => Some(*number),
            _ => None,
        })
    }

    /// The boolean under `key`.
    ///
    /// # Errors
    /// As for [`Metadata::str`].
    pub fn bool(&self, key: &str) -> Result<bool, GgufError> {
        self.typed(key, "a boolean", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// The array of texts under `key`.
    ///
    /// # Errors
    /// As for [`Metadata::str`].
    pub fn str_array(&self, key: &str) -> Result<&StringArray, GgufError> {
        self.typed(key, "an array of texts", |value| match value {
            Value::Array(Array::Str(texts)) => Some(texts),
            _ => None,
        })
    }

    /// The array under `key`, of any integer type, when no element is negative.
    ///
    /// # Errors
    /// As for [`Metadata::str`].
    pub fn u64_array(&self, key: &str) -> Result<Vec<u64>, GgufError> {
        self.typed(key, "an array of unsigned numbers", |value| match value {
            Value::Array(array) => array.to_unsigned(),
            _ => None,
        })
    }

    /// The array of single-precision numbers under `key`.
    ///
    /// # Errors
    /// As for [`Metadata::str`].
    pub fn f32_array(&self, key: &str) -> Result<&[f32], GgufError> {
        self.typed(key, "an array of f32", |value| match value {
            Value::Array(Array::F32(numbers)) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    fn typed<'m, T>(
        &'m self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'m Value) -> Option<T>,
    ) -> Result<T, GgufError> {
        let value = self.get(key).ok_or_else(|| GgufError::MissingKey { key: key.to_owned() })?;
        read(value).ok_or_else(|| GgufError::WrongType {
            key: key.to_owned(),
            expected,
            found: value.value_type(),
        })
    }

    /// Reads `count` pairs.
    pub(crate) fn parse<R: Read>(source: &mut Source<R>, count: u64) -> Result<Self, GgufError> {
        source.require("metadata", count.saturating_mul(PAIR_BYTES_MIN))?;
        let limits = *source.limits();
        let (mut pairs, mut buffer) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let key = source.text("metadata key", limits.name_bytes_max, &mut buffer)?.to_owned();
            let value = parse_value(source, &mut buffer)?;
            pairs.push((key, value));
        }
        pairs.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        match pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(GgufError::DuplicateKey { key: pair[0].0.clone() }),
            None => Ok(Self { pairs }),
        }
    }
}

fn parse_value<R: Read>(source: &mut Source<R>, buffer: &mut Vec<u8>) -> Result<Value, GgufError> {
    const WHAT: &str = "metadata value";
    Ok(match parse_type(source)? {
        ValueType::U8 => Value::U8(u8::from_le_bytes(source.array(WHAT)?)),
        ValueType::I8 => Value::I8(i8::from_le_bytes(source.array(WHAT)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(source.array(WHAT)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(source.array(WHAT)?)),
        ValueType::U32 => Value::U32(u32::from_le_bytes(source.array(WHAT)?)),
        ValueType::I32 => Value::I32(i32::from_le_bytes(source.array(WHAT)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(source.array(WHAT)?)),
        ValueType::U64 => Value::U64(u64::from_le_bytes(source.array(WHAT)?)),
        ValueType::I64 => Value::I64(i64::from_le_bytes(source.array(WHAT)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(source.array(WHAT)?)),
        ValueType::Bool => {
            let offset = source.position();
            Value::Bool(to_bool(source.array::<1>(WHAT)?[0], offset)?)
        }
        ValueType::Str => {
            let bytes_max = source.limits().string_bytes_max;
            Value::Str(source.text("metadata text", bytes_max, buffer)?.to_owned())
        }
        ValueType::Array => Value::Array(parse_array(source, buffer)?),
    })
}

fn parse_array<R: Read>(source: &mut Source<R>, buffer: &mut Vec<u8>) -> Result<Array, GgufError> {
    let type_offset = source.position();
    let element_type = parse_type(source)?;
    let count = source.count("array length", source.limits().array_elements_max)?;
    Ok(match element_type {
        ValueType::U8 => Array::U8(numbers(source, count, buffer, u8::from_le_bytes)?),
        ValueType::I8 => Array::I8(numbers(source, count, buffer, i8::from_le_bytes)?),
        ValueType::U16 => Array::U16(numbers(source, count, buffer, u16::from_le_bytes)?),
        ValueType::I16 => Array::I16(numbers(source, count, buffer, i16::from_le_bytes)?),
        ValueType::U32 => Array::U32(numbers(source, count, buffer, u32::from_le_bytes)?),
        ValueType::I32 => Array::I32(numbers(source, count, buffer, i32::from_le_bytes)?),
        ValueType::F32 => Array::F32(numbers(source, count, buffer, f32::from_le_bytes)?),
        ValueType::U64 => Array::U64(numbers(source, count, buffer, u64::from_le_bytes)?),
        ValueType::I64 => Array::I64(numbers(source, count, buffer, i64::from_le_bytes)?),
        ValueType::F64 => Array::F64(numbers(source, count, buffer, f64::from_le_bytes)?),
        ValueType::Bool => {
            let start = source.position();
            let bytes = numbers(source, count, buffer, u8::from_le_bytes)?;
            let flags = (start..).zip(bytes).map(|(offset, byte)| to_bool(byte, offset));
            Array::Bool(flags.collect::<Result<_, _>>()?)
        }
        ValueType::Str => Array::Str(texts(source, count, buffer)?),
        ValueType::Array => return Err(GgufError::NestedArray { offset: type_offset }),
    })
}

fn parse_type<R: Read>(source: &mut Source<R>) -> Result<ValueType, GgufError> {
    let offset = source.position();
    let code = source.u32("value type")?;
    ValueType::from_code(code).ok_or(GgufError::UnknownValueType { offset, code })
}

fn to_bool(byte: u8, offset: u64) -> Result<bool, GgufError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(GgufError::InvalidBool { offset, found }),
    }
}

fn numbers<R: Read, const N: usize, T>(
    source: &mut Source<R>,
    count: u64,
    buffer: &mut Vec<u8>,
    decode: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, GgufError> {
    source.bytes("array elements", count.saturating_mul(N as u64), buffer)?;
    let (elements, _) = buffer.as_chunks::<N>();
    Ok(elements.iter().map(|&bytes| decode(bytes)).collect())
}

fn texts<R: Read>(
    source: &mut Source<R>,
    count: u64,
    buffer: &mut Vec<u8>,
) -> Result<StringArray, GgufError> {
    // Each text is at least its length field.
    source.require("array elements", count.saturating_mul(8))?;
    let bytes_max = source.limits().string_bytes_max;
    let mut texts = StringArray::default();
    for _ in 0..count {
        texts.push(source.text("array text", bytes_max, buffer)?);
    }
    texts.shrink();
    Ok(texts)
}
