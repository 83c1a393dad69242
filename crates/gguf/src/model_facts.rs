use crate::{GgufError, Header, Value};

/// What a header says about its model. Keys are those of `docs/gguf.md`, read under the model's own
/// architecture (`llama.context_length`).
impl Header {
    /// The model's architecture, such as `llama`.
    ///
    /// # Errors
    /// When `general.architecture` is missing or not a text.
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.metadata.str("general.architecture")
    }

    /// Tokens that the model was trained to attend to.
    ///
    /// # Errors
    /// When the key is missing, not a number, or zero.
    pub fn context_length(&self) -> Result<u32, GgufError> {
        self.positive("context_length")
    }

    /// Number of transformer blocks.
    ///
    /// # Errors
    /// When the key is missing, not a number, or zero.
    pub fn block_count(&self) -> Result<u32, GgufError> {
        self.positive("block_count")
    }

    /// Width of the residual stream, in numbers.
    ///
    /// # Errors
    /// When the key is missing, not a number, or zero.
    pub fn embedding_length(&self) -> Result<u32, GgufError> {
        self.positive("embedding_length")
    }

    /// Attention heads of each block, in order; all equal in most models.
    ///
    /// # Errors
    /// When the key is missing, or is an array of another length than the number of blocks.
    pub fn head_counts(&self) -> Result<Vec<u32>, GgufError> {
        self.per_block("attention.head_count")
    }

    /// Key and value heads of each block, in order; the attention heads where the file names none.
    /// Blocks without attention have none.
    ///
    /// # Errors
    /// As for [`Header::head_counts`].
    pub fn head_counts_kv(&self) -> Result<Vec<u32>, GgufError> {
        let key = self.key("attention.head_count_kv")?;
        match self.metadata.get(&key) {
            Some(_) => self.per_block("attention.head_count_kv"),
            None => self.head_counts(),
        }
    }

    /// Key and value heads of the first block, which is that of all blocks in most models.
    ///
    /// # Errors
    /// As for [`Header::head_counts`].
    pub fn head_count_kv(&self) -> Result<u32, GgufError> {
        Ok(self.head_counts_kv()?[0])
    }

    /// Bytes that one token takes in a key-value cache whose numbers have `kv_dtype_bytes` bytes.
    ///
    /// An upper bound: sliding windows, compressed and recurrent caches need less.
    ///
    /// # Errors
    /// When a fact that it is computed from is missing or makes no sense.
    pub fn kv_bytes_per_token(&self, kv_dtype_bytes: u64) -> Result<u64, GgufError> {
        let heads: u64 = self.head_counts_kv()?.into_iter().map(u64::from).sum();
        let lengths = self.head_length("attention.key_length")?
            + self.head_length("attention.value_length")?;
        heads
            .checked_mul(lengths)
            .and_then(|numbers| numbers.checked_mul(kv_dtype_bytes))
            .ok_or_else(|| GgufError::InvalidFact {
                key: "attention.head_count_kv".to_owned(),
                expected: "a cache of less than 2^64 bytes per token",
                found: format!("{heads} heads of {lengths} numbers"),
            })
    }

    /// Bytes of all tensors of this file. A model split over several files has more in the others.
    pub fn weights_bytes(&self) -> u64 {
        // Tensors lie apart inside the file, so the sum is at most the file's size.
        self.tensors.iter().map(|tensor| tensor.size_bytes).sum()
    }

    /// What most tensors are stored as, such as `Q4_K_M`, when the file says so and the code is known.
    pub fn quantization(&self) -> Option<&'static str> {
        let code = self.metadata.u32("general.file_type").ok()?;
        FILE_TYPES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
    }

    /// The model's chat template (Jinja), when it has one.
    ///
    /// # Errors
    /// When the key is there and is not a text.
    pub fn chat_template(&self) -> Result<Option<&str>, GgufError> {
        self.optional_text("tokenizer.chat_template")
    }

    /// The kind of tokenizer, such as `gpt2` (byte-level BPE) or `llama` (SentencePiece).
    ///
    /// # Errors
    /// When the key is missing or not a text.
    pub fn tokenizer_model(&self) -> Result<&str, GgufError> {
        self.metadata.str("tokenizer.ggml.model")
    }

    /// The rule that splits text before the tokenizer's merges, such as `smollm`, when the file names
    /// one.
    ///
    /// # Errors
    /// When the key is there and is not a text.
    pub fn tokenizer_pre(&self) -> Result<Option<&str>, GgufError> {
        self.optional_text("tokenizer.ggml.pre")
    }

    fn optional_text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        match self.metadata.get(key) {
            Some(_) => self.metadata.str(key).map(Some),
            None => Ok(None),
        }
    }

    fn key(&self, fact: &str) -> Result<String, GgufError> {
        Ok(format!("{}.{fact}", self.architecture()?))
    }

    fn positive(&self, fact: &str) -> Result<u32, GgufError> {
        let key = self.key(fact)?;
        match self.metadata.u32(&key)? {
            0 => Err(GgufError::InvalidFact {
                key,
                expected: "a number above 0",
                found: "0".to_owned(),
            }),
            number => Ok(number),
        }
    }

    /// A fact that is one number for all blocks or an array with one for each.
    fn per_block(&self, fact: &str) -> Result<Vec<u32>, GgufError> {
        let (key, blocks) = (self.key(fact)?, self.block_count()?);
        let invalid = |found: String| GgufError::InvalidFact {
            key: key.clone(),
            expected: "a number, or one for each block",
            found,
        };
        if matches!(self.metadata.get(&key), Some(Value::Array(_))) {
            let numbers = self.metadata.u64_array(&key)?;
            if numbers.len() as u64 != u64::from(blocks) {
                return Err(invalid(format!("{} numbers for {blocks} blocks", numbers.len())));
            }
            return numbers
                .into_iter()
                .map(|number| u32::try_from(number).map_err(|_over| invalid(number.to_string())))
                .collect();
        }
        let number = self.metadata.u32(&key)?;
        if blocks > BLOCKS_MAX {
            return Err(invalid(format!("{blocks} blocks")));
        }
        Ok(vec![number; blocks as usize])
    }

    /// Numbers in a key or value of one head: named, or the embedding shared out among the heads.
    fn head_length(&self, fact: &str) -> Result<u64, GgufError> {
        let key = self.key(fact)?;
        if self.metadata.get(&key).is_some() {
            return self.positive(fact).map(u64::from);
        }
        let embedding = self.embedding_length()?;
        let heads = self.head_counts()?.into_iter().find(|&heads| heads > 0);
        heads.map(|heads| u64::from(embedding / heads)).ok_or_else(|| GgufError::InvalidFact {
            key,
            expected: "a number, as the model has no attention heads",
            found: "nothing".to_owned(),
        })
    }
}

/// Most blocks that a list is made for; published models have up to 130.
const BLOCKS_MAX: u32 = 65_536;

/// Codes of `general.file_type` (`llama_ftype` in llama.h).
const FILE_TYPES: [(u32, &str); 36] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
    (39, "NVFP4"),
    (40, "Q1_0"),
    (1024, "guessed"),
];
