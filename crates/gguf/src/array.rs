use crate::ValueType;

/// A flat array of a metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// Unsigned 16-bit numbers.
    U16(Vec<u16>),
    /// Signed 16-bit numbers.
    I16(Vec<i16>),
    /// Unsigned 32-bit numbers.
    U32(Vec<u32>),
    /// Signed 32-bit numbers.
    I32(Vec<i32>),
    /// Single-precision numbers.
    F32(Vec<f32>),
    /// Booleans.
    Bool(Vec<bool>),
    /// Texts.
    Str(StringArray),
    /// Unsigned 64-bit numbers.
    U64(Vec<u64>),
    /// Signed 64-bit numbers.
    I64(Vec<i64>),
    /// Double-precision numbers.
    F64(Vec<f64>),
}

impl Array {
    /// How many elements it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(items) => items.len(),
            Self::I8(items) => items.len(),
            Self::U16(items) => items.len(),
            Self::I16(items) => items.len(),
            Self::U32(items) => items.len(),
            Self::I32(items) => items.len(),
            Self::F32(items) => items.len(),
            Self::Bool(items) => items.len(),
            Self::Str(items) => items.len(),
            Self::U64(items) => items.len(),
            Self::I64(items) => items.len(),
            Self::F64(items) => items.len(),
        }
    }

    /// Whether it holds no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of its elements.
    pub fn element_type(&self) -> ValueType {
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
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// The elements as unsigned 64-bit numbers; `None` when they are not integers or one is negative.
    pub fn to_unsigned(&self) -> Option<Vec<u64>> {
        fn all<T: Copy + TryInto<u64>>(items: &[T]) -> Option<Vec<u64>> {
            items.iter().map(|&item| item.try_into().ok()).collect()
        }
        match self {
            Self::U8(items) => all(items),
            Self::I8(items) => all(items),
            Self::U16(items) => all(items),
            Self::I16(items) => all(items),
            Self::U32(items) => all(items),
            Self::I32(items) => all(items),
            Self::U64(items) => all(items),
            Self::I64(items) => all(items),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::Str(_) => None,
        }
    }
}

/// Many texts in one buffer: a vocabulary of 49,152 tokens is two allocations, not 49,153.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StringArray {
    text: String,
    /// Where each text ends in `text`; it starts where the one before it ends.
    ends: Vec<usize>,
}

impl StringArray {
    /// How many texts it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds no text.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text at `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.text[start..end])
    }

    /// All texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + '_ {
        (0..self.len()).map(|index| self.get(index).expect("the index is below the length"))
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

impl<S: AsRef<str>> FromIterator<S> for StringArray {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Self {
        let mut array = Self::default();
        for text in texts {
            array.push(text.as_ref());
        }
        array
    }
}
