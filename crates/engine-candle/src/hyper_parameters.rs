use gguf::{GgufError, Header};

use crate::LoadError;

/// The shape of a model of the llama architecture, from its header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HyperParameters {
    pub(crate) blocks: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) feed_forward: usize,
    pub(crate) vocabulary: usize,
    pub(crate) ctx_trained: u32,
    pub(crate) norm_epsilon: f32,
    pub(crate) rope_width: usize,
    pub(crate) rope_base: f32,
    pub(crate) rope_scale: f32,
}

/// No published model comes near these; beyond them a product of two could be too large for memory.
const DIMENSION_MAX: u32 = 1 << 20;
const BLOCKS_MAX: u32 = 1024;

impl HyperParameters {
    /// Reads and checks the shape.
    ///
    /// # Errors
    /// The file holds another kind of model, one that needs what is not computed here, or numbers that
    /// do not fit each other.
    pub(crate) fn read(header: &Header) -> Result<Self, LoadError> {
        let architecture = header.architecture().map_err(inconsistent)?;
        if architecture != "llama" {
            return Err(LoadError::UnsupportedArchitecture { found: architecture.to_owned() });
        }
        let facts = Facts { header };
        let width = facts.dimension("llama.embedding_length")?;
        let heads = facts.same_for_all(header.head_counts(), "attention heads")?;
        let kv_heads = facts.same_for_all(header.head_counts_kv(), "key-value heads")?;
        let head_width = match facts.optional_dimension("llama.attention.key_length")? {
            Some(length) => length,
            None => width / heads,
        };
        let shape = Self {
            blocks: usize_from(header.block_count().map_err(inconsistent)?),
            width,
            heads,
            kv_heads,
            head_width,
            feed_forward: facts.dimension("llama.feed_forward_length")?,
            vocabulary: facts.vocabulary()?,
            ctx_trained: header.context_length().map_err(inconsistent)?,
            norm_epsilon: facts.f32("llama.attention.layer_norm_rms_epsilon")?,
            rope_width: facts
                .optional_dimension("llama.rope.dimension_count")?
                .unwrap_or(head_width),
            rope_base: facts.optional_f32("llama.rope.freq_base")?.unwrap_or(10_000.0),
            rope_scale: facts.rope_scale()?,
        };
        facts.refuse_what_is_not_computed(head_width)?;
        shape.check()?;
        Ok(shape)
    }

    /// Numbers in the keys of one token.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// Numbers in the queries of one token.
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    fn check(&self) -> Result<(), LoadError> {
        let whole_blocks = |n: usize| n.is_multiple_of(crate::matrix::BLOCK);
        let sound = [
            (self.blocks <= usize_from(BLOCKS_MAX), "it has too many blocks"),
            (self.kv_heads > 0, "it has no key-value heads"),
            (
                self.heads.is_multiple_of(self.kv_heads.max(1)),
                "key-value heads are shared unevenly",
            ),
            (self.heads <= self.width, "it has more heads than numbers"),
            (self.head_width.is_multiple_of(2), "heads have an odd number of numbers"),
            (self.rope_width <= self.head_width, "more of a head is turned than there is"),
            (self.rope_width.is_multiple_of(2), "an odd number of a head's numbers is turned"),
            (self.norm_epsilon.is_finite() && self.norm_epsilon >= 0.0, "the norm's epsilon"),
            (self.rope_base.is_finite() && self.rope_base > 0.0, "the base of the positions"),
            (self.rope_scale.is_finite() && self.rope_scale > 0.0, "the scale of the positions"),
        ];
        if let Some((_, what)) = sound.iter().find(|(holds, _)| !holds) {
            return Err(LoadError::Inconsistent { what: (*what).to_owned() });
        }
        let widths = [self.width, self.query_width(), self.feed_forward];
        if !widths.into_iter().all(whole_blocks) {
            let what = format!("rows of {widths:?} numbers, which are not whole blocks of 32");
            return Err(LoadError::Unsupported { what });
        }
        Ok(())
    }
}

/// Typed look-ups in the header.
struct Facts<'a> {
    header: &'a Header,
}

impl Facts<'_> {
    fn has(&self, key: &str) -> bool {
        self.header.metadata.get(key).is_some()
    }

    fn dimension(&self, key: &str) -> Result<usize, LoadError> {
        match self.header.metadata.u32(key).map_err(inconsistent)? {
            number @ 1..=DIMENSION_MAX => Ok(usize_from(number)),
            number => Err(LoadError::Inconsistent { what: format!("`{key}` is {number}") }),
        }
    }

    fn optional_dimension(&self, key: &str) -> Result<Option<usize>, LoadError> {
        self.has(key).then(|| self.dimension(key)).transpose()
    }

    fn f32(&self, key: &str) -> Result<f32, LoadError> {
        self.header.metadata.f32(key).map_err(inconsistent)
    }

    fn optional_f32(&self, key: &str) -> Result<Option<f32>, LoadError> {
        self.has(key).then(|| self.f32(key)).transpose()
    }

    fn same_for_all(
        &self,
        counts: Result<Vec<u32>, GgufError>,
        what: &str,
    ) -> Result<usize, LoadError> {
        let counts = counts.map_err(inconsistent)?;
        let Some((&first, others)) = counts.split_first() else {
            return Err(LoadError::Inconsistent { what: "it has no blocks".to_owned() });
        };
        if first == 0 || first > DIMENSION_MAX {
            return Err(LoadError::Inconsistent { what: format!("it has {first} {what}") });
        }
        if others.iter().any(|&other| other != first) {
            return Err(LoadError::Unsupported { what: format!("blocks differ in their {what}") });
        }
        Ok(usize_from(first))
    }

    fn vocabulary(&self) -> Result<usize, LoadError> {
        let missing = || LoadError::Inconsistent { what: "it has no token embeddings".to_owned() };
        let embeddings = self.header.tensor("token_embd.weight").ok_or_else(missing)?;
        let rows = embeddings.dims.get(1).copied().ok_or_else(missing)?;
        u32::try_from(rows)
            .map(usize_from)
            .map_err(|_too_many| LoadError::Inconsistent { what: format!("it has {rows} tokens") })
    }

    fn rope_scale(&self) -> Result<f32, LoadError> {
        let kind = match self.has("llama.rope.scaling.type") {
            true => self.header.metadata.str("llama.rope.scaling.type").map_err(inconsistent)?,
            false if self.has("llama.rope.scale_linear") => {
                return self.f32("llama.rope.scale_linear");
            }
            false => "none",
        };
        match kind {
            "none" => Ok(1.0),
            "linear" => self.f32("llama.rope.scaling.factor"),
            other => Err(LoadError::Unsupported { what: format!("positions scaled by `{other}`") }),
        }
    }

    fn refuse_what_is_not_computed(&self, head_width: usize) -> Result<(), LoadError> {
        let unsupported = |what: &str| Err(LoadError::Unsupported { what: what.to_owned() });
        if self.has("llama.expert_count")
            && self.header.metadata.u32("llama.expert_count").map_err(inconsistent)? > 0
        {
            return unsupported("a mixture of experts");
        }
        if self.has("llama.attention.sliding_window") {
            return unsupported("attention through a sliding window");
        }
        if self.optional_dimension("llama.attention.value_length")?.is_some_and(|n| n != head_width)
        {
            return unsupported("values of another length than keys");
        }
        Ok(())
    }
}

fn inconsistent(error: GgufError) -> LoadError {
    LoadError::Inconsistent { what: error.to_string() }
}

fn usize_from(number: u32) -> usize {
    usize::try_from(number).expect("addresses have at least 32 bits")
}
