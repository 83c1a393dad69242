use crate::{Array, GgmlType, Metadata, Value};

/// Writes a small GGUF file, well-formed unless told to lie.
///
/// Tensors are laid out one after the other and filled with zeros. What has a `claim_` in its name is
/// written as it is, true or not.
#[derive(Debug, Clone)]
pub struct Builder {
    version: u32,
    alignment: u64,
    pairs: Vec<(Vec<u8>, Pair)>,
    tensors: Vec<Tensor>,
    tensor_count: Option<u64>,
    pair_count: Option<u64>,
    has_data: bool,
}

#[derive(Debug, Clone)]
enum Pair {
    Value(Value),
    Raw { type_code: u32, bytes: Vec<u8> },
}

#[derive(Debug, Clone)]
struct Tensor {
    name: String,
    dims: Vec<u64>,
    type_code: u32,
    size_bytes: u64,
    offset: Option<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            version: 3,
            alignment: 32,
            pairs: Vec::new(),
            tensors: Vec::new(),
            tensor_count: None,
            pair_count: None,
            has_data: true,
        }
    }
}

impl Builder {
    /// An empty version 3 file.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file that looks like a tiny llama: two blocks, eight numbers wide, a vocabulary of four.
    pub fn tiny_llama() -> Self {
        Self::new()
            .text("general.architecture", "llama")
            .pair("general.file_type", Value::U32(3))
            .pair("llama.context_length", Value::U32(64))
            .pair("llama.block_count", Value::U32(2))
            .pair("llama.embedding_length", Value::U32(32))
            .pair("llama.attention.head_count", Value::U32(4))
            .pair("llama.attention.head_count_kv", Value::U32(2))
            .pair("llama.rope.freq_base", Value::F32(10_000.0))
            .text("tokenizer.ggml.model", "gpt2")
            .texts("tokenizer.ggml.tokens", ["<s>", "a", "b", "ab"])
            .pair("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![3, 1, 1, 1])))
            .pair("tokenizer.ggml.add_bos_token", Value::Bool(false))
            .tensor("token_embd.weight", &[32, 4], GgmlType::Q4_1)
            .tensor("blk.0.attn_norm.weight", &[32], GgmlType::F32)
            .tensor("blk.1.attn_norm.weight", &[32], GgmlType::F32)
    }

    /// A file without tensors that says what another file says.
    pub fn with_metadata(metadata: &Metadata) -> Self {
        let pairs = metadata.iter();
        pairs.fold(Self::new(), |builder, (key, value)| builder.pair(key, value.clone()))
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Adds a metadata pair, also when the key is there already.
    #[must_use]
    pub fn pair(mut self, key: &str, value: Value) -> Self {
        self.pairs.push((key.as_bytes().to_vec(), Pair::Value(value)));
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, key: &str, text: &str) -> Self {
        self.pair(key, Value::Str(text.to_owned()))
    }

    /// Adds an array of texts.
    #[must_use]
    pub fn texts<S: AsRef<str>>(self, key: &str, texts: impl IntoIterator<Item = S>) -> Self {
        self.pair(key, Value::Array(Array::Str(texts.into_iter().collect())))
    }

    /// Replaces the value of `key`, or adds it.
    #[must_use]
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.pairs.retain(|(name, _)| name != key.as_bytes());
        self.pair(key, value)
    }

    /// Removes `key`.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.pairs.retain(|(name, _)| name != key.as_bytes());
        self
    }

    /// Sets `general.alignment` and lays tensors out by it.
    #[must_use]
    pub fn alignment(mut self, alignment: u32) -> Self {
        self.alignment = u64::from(alignment).max(1);
        self.set("general.alignment", Value::U32(alignment))
    }

    /// Adds a tensor behind the last one.
    #[must_use]
    pub fn tensor(mut self, name: &str, dims: &[u64], ggml_type: GgmlType) -> Self {
        let elements: u64 = dims.iter().product();
        self.tensors.push(Tensor {
            name: name.to_owned(),
            dims: dims.to_vec(),
            type_code: ggml_type.code(),
            size_bytes: elements / ggml_type.block_elements() * ggml_type.block_bytes(),
            offset: None,
        });
        self
    }

    /// Adds a metadata pair of raw bytes: key, type code and value.
    #[must_use]
    pub fn claim_pair(mut self, key: &[u8], type_code: u32, bytes: &[u8]) -> Self {
        self.pairs.push((key.to_vec(), Pair::Raw { type_code, bytes: bytes.to_vec() }));
        self
    }

    /// Adds a tensor of any dimensions, type and offset that takes no bytes in the file.
    #[must_use]
    pub fn claim_tensor(mut self, name: &str, dims: &[u64], type_code: u32, offset: u64) -> Self {
        self.tensors.push(Tensor {
            name: name.to_owned(),
            dims: dims.to_vec(),
            type_code,
            size_bytes: 0,
            offset: Some(offset),
        });
        self
    }

    /// Writes another number of tensors than there are.
    #[must_use]
    pub fn claim_tensor_count(mut self, count: u64) -> Self {
        self.tensor_count = Some(count);
        self
    }

    /// Writes another number of metadata pairs than there are.
    #[must_use]
    pub fn claim_pair_count(mut self, count: u64) -> Self {
        self.pair_count = Some(count);
        self
    }

    /// Leaves out the tensor data.
    #[must_use]
    pub fn without_data(mut self) -> Self {
        self.has_data = false;
        self
    }

    /// The file's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        file.extend(self.pair_count.unwrap_or(self.pairs.len() as u64).to_le_bytes());
        for (key, pair) in &self.pairs {
            write_text(&mut file, key);
            match pair {
                Pair::Value(value) => {
                    file.extend(value.value_type().code().to_le_bytes());
                    write_value(&mut file, value);
                }
                Pair::Raw { type_code, bytes } => {
                    file.extend(type_code.to_le_bytes());
                    file.extend(bytes);
                }
            }
        }
        let mut data_bytes = 0_u64;
        for tensor in &self.tensors {
            write_text(&mut file, tensor.name.as_bytes());
            let rank = u32::try_from(tensor.dims.len()).expect("tests use few dimensions");
            file.extend(rank.to_le_bytes());
            for dim in &tensor.dims {
                file.extend(dim.to_le_bytes());
            }
            file.extend(tensor.type_code.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(data_bytes).to_le_bytes());
            data_bytes = (data_bytes + tensor.size_bytes).next_multiple_of(self.alignment);
        }
        if self.has_data && data_bytes > 0 {
            let end = (file.len() as u64).next_multiple_of(self.alignment) + data_bytes;
            file.resize(usize::try_from(end).expect("test files are small"), 0);
        }
        file
    }
}

fn write_text(file: &mut Vec<u8>, text: &[u8]) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text);
}

fn write_value(file: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(number) => file.push(*number),
        Value::I8(number) => file.extend(number.to_le_bytes()),
        Value::U16(number) => file.extend(number.to_le_bytes()),
        Value::I16(number) => file.extend(number.to_le_bytes()),
        Value::U32(number) => file.extend(number.to_le_bytes()),
        Value::I32(number) => file.extend(number.to_le_bytes()),
        Value::F32(number) => file.extend(number.to_le_bytes()),
        Value::U64(number) => file.extend(number.to_le_bytes()),
        Value::I64(number) => file.extend(number.to_le_bytes()),
        Value::F64(number) => file.extend(number.to_le_bytes()),
        Value::Bool(flag) => file.push(u8::from(*flag)),
        Value::Str(text) => write_text(file, text.as_bytes()),
        Value::Array(array) => {
            file.extend(array.element_type().code().to_le_bytes());
            file.extend((array.len() as u64).to_le_bytes());
            write_elements(file, array);
        }
    }
}

fn write_elements(file: &mut Vec<u8>, array: &Array) {
    match array {
        Array::U8(items) => file.extend(items),
        Array::I8(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::U16(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::I16(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::U32(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::I32(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::F32(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::U64(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::I64(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::F64(items) => file.extend(items.iter().flat_map(|item| item.to_le_bytes())),
        Array::Bool(items) => file.extend(items.iter().map(|&flag| u8::from(flag))),
        Array::Str(texts) => texts.iter().for_each(|text| write_text(file, text.as_bytes())),
    }
}
