use std::fs::File;

use camino::Utf8Path;
use gguf::Header;
use rayon::prelude::*;

use crate::{
    Kernels, LoadError, Q8Matrix, Q8Rows, attention,
    exponential::silu,
    hyper_parameters::HyperParameters,
    kv_cache::KvCache,
    rope::{self, Rope},
    weights::Weights,
};

/// A model of the llama architecture and what it has read so far.
///
/// Everything runs on the rayon pool in which a method is called. The logits depend on the ids that were
/// fed and their order, never on how they were cut into calls, on the number of threads, or on the
/// [`Kernels`].
pub struct Llama {
    shape: HyperParameters,
    kernels: Kernels,
    embeddings: Q8Matrix,
    layers: Vec<Layer>,
    output_norm: Vec<f32>,
    /// `None` where the model uses its embeddings.
    output: Option<Q8Matrix>,
    rope: Rope,
    cache: KvCache,
    position: usize,
    scratch: Scratch,
}

struct Layer {
    attention_norm: Vec<f32>,
    /// Queries, keys and values below each other.
    query_key_value: Q8Matrix,
    attention_output: Q8Matrix,
    feed_forward_norm: Vec<f32>,
    /// Gate and up below each other.
    gate_up: Q8Matrix,
    down: Q8Matrix,
}

/// Memory of a step, used again; each vector holds one row for each token of the step.
#[derive(Default)]
struct Scratch {
    residual: Vec<f32>,
    normed: Vec<f32>,
    inputs: Q8Rows,
    query_key_value: Vec<f32>,
    attended: Vec<f32>,
    projected: Vec<f32>,
    gate_up: Vec<f32>,
    gated: Vec<f32>,
    angles: Vec<(f32, f32)>,
    logits: Vec<f32>,
}

/// There is no memory for the keys and values of more tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no memory for the keys and values of {tokens} tokens")]
pub struct OutOfMemory {
    /// How many tokens there would be.
    pub tokens: usize,
}

impl Llama {
    /// Reads a model. `progress` is told the bytes of tensors read so far and their total, after each
    /// tensor; when it returns false, loading stops.
    ///
    /// # Errors
    /// The file cannot be read, or is not a model that this engine computes.
    pub fn load(
        path: &Utf8Path,
        ctx_max: u32,
        kernels: Kernels,
        mut progress: impl FnMut(u64, u64) -> bool,
    ) -> Result<Self, LoadError> {
        let io = |source| LoadError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let header = Header::read(&mut file).map_err(|error| match error {
            gguf::GgufError::Io { source, .. } => io(source),
            source => LoadError::Malformed { path: path.to_owned(), source },
        })?;
        let shape = HyperParameters::read(&header)?;
        let total_bytes = header.weights_bytes();
        let mut progress = |done_bytes| progress(done_bytes, total_bytes);
        let mut weights = Weights::new(path, file, &header, &mut progress);
        let width = shape.width;
        let embeddings = weights.matrix(&[("token_embd.weight", shape.vocabulary)], width)?;
        let layers = (0..shape.blocks).map(|index| Layer::read(&mut weights, &shape, index));
        let layers = layers.collect::<Result<_, _>>()?;
        let output_norm = weights.vector("output_norm.weight", width)?;
        let output = match weights.has("output.weight") {
            true => Some(weights.matrix(&[("output.weight", shape.vocabulary)], width)?),
            false => None,
        };
        let factors = match weights.has("rope_freqs.weight") {
            true => Some(weights.vector("rope_freqs.weight", shape.rope_width / 2)?),
            false => None,
        };
        weights.finish()?;
        let rope =
            Rope::new(shape.rope_width, shape.rope_base, shape.rope_scale, factors.as_deref());
        let tokens_max = ctx_max.min(shape.ctx_trained) as usize;
        let cache = KvCache::new(shape.blocks, shape.kv_width(), tokens_max);
        let scratch = Scratch::default();
        Ok(Self {
            shape,
            kernels,
            embeddings,
            layers,
            output_norm,
            output,
            rope,
            cache,
            position: 0,
            scratch,
        })
    }

    /// Tokens that the model has names for; ids are below it.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.shape.vocabulary
    }

    /// Most tokens it can be fed.
    #[must_use]
    pub fn tokens_max(&self) -> usize {
        self.cache.tokens_max()
    }

    /// Tokens fed since the start or the last [`Self::clear`].
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Forgets what was fed.
    pub fn clear(&mut self) {
        self.cache.clear();
        self.position = 0;
    }

    /// Reads more tokens.
    ///
    /// # Errors
    /// There is no memory for them; nothing was read.
    ///
    /// # Panics
    /// If an id is outside the vocabulary, or there are none, or too many.
    pub fn feed(&mut self, ids: &[u32]) -> Result<(), OutOfMemory> {
        let Self { shape, kernels, scratch: s, .. } = self;
        let (count, width) = (ids.len(), shape.width);
        let tokens = self.position + count;
        assert!(count > 0 && tokens <= self.cache.tokens_max(), "the caller minds the context");
        if !self.cache.reserve(tokens) {
            return Err(OutOfMemory { tokens });
        }
        s.residual.resize(count * width, 0.0);
        for (row, &id) in s.residual.chunks_exact_mut(width).zip(ids) {
            self.embeddings.read_row(id as usize, row);
        }
        s.angles.clear();
        s.angles.extend((self.position..tokens).flat_map(|position| self.rope.angles(position)));
        for (index, layer) in self.layers.iter().enumerate() {
            // Attention.
            normalise(&s.residual, &layer.attention_norm, shape.norm_epsilon, &mut s.normed);
            s.inputs.set(&s.normed, width);
            multiply(&layer.query_key_value, *kernels, &s.inputs, &mut s.query_key_value);
            let turned = shape.query_width() + shape.kv_width();
            let pairs = self.rope.pairs();
            let rows = s.query_key_value.par_chunks_exact_mut(turned + shape.kv_width());
            rows.zip(s.angles.par_chunks_exact(pairs)).for_each(|(row, angles)| {
                for head in row[..turned].chunks_exact_mut(shape.head_width) {
                    rope::turn(head, angles);
                }
            });
            let cache = self.cache.layer(index);
            for row in s.query_key_value.chunks_exact(turned + shape.kv_width()) {
                cache.keys.extend_from_slice(&row[shape.query_width()..turned]);
                cache.values.extend_from_slice(&row[turned..]);
            }
            s.attended.resize(count * shape.query_width(), 0.0);
            attend(
                shape,
                *kernels,
                self.position,
                &s.query_key_value,
                (&cache.keys, &cache.values),
                &mut s.attended,
            );
            s.inputs.set(&s.attended, shape.query_width());
            multiply(&layer.attention_output, *kernels, &s.inputs, &mut s.projected);
            add(&mut s.residual, &s.projected);

            // Feed-forward network.
            normalise(&s.residual, &layer.feed_forward_norm, shape.norm_epsilon, &mut s.normed);
            s.inputs.set(&s.normed, width);
            multiply(&layer.gate_up, *kernels, &s.inputs, &mut s.gate_up);
            gate(&s.gate_up, shape.feed_forward, &mut s.gated);
            s.inputs.set(&s.gated, shape.feed_forward);
            multiply(&layer.down, *kernels, &s.inputs, &mut s.projected);
            add(&mut s.residual, &s.projected);
        }
        self.position = tokens;
        Ok(())
    }

    /// How likely the model finds each token of its vocabulary to come next, as logarithms up to a
    /// constant. The caller may change them; the next call computes them anew.
    ///
    /// # Panics
    /// If nothing was fed.
    pub fn logits(&mut self) -> &mut [f32] {
        assert!(self.position > 0, "logits follow a token");
        let s = &mut self.scratch;
        let width = self.shape.width;
        let last = &s.residual[s.residual.len() - width..];
        normalise(last, &self.output_norm, self.shape.norm_epsilon, &mut s.normed);
        s.inputs.set(&s.normed, width);
        let output = self.output.as_ref().unwrap_or(&self.embeddings);
        multiply(output, self.kernels, &s.inputs, &mut s.logits);
        &mut s.logits
    }
}

impl Layer {
    fn read(
        weights: &mut Weights<'_>,
        shape: &HyperParameters,
        index: usize,
    ) -> Result<Self, LoadError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let (width, query_width, kv_width) = (shape.width, shape.query_width(), shape.kv_width());
        let feed_forward = shape.feed_forward;
        Ok(Self {
            attention_norm: weights.vector(&name("attn_norm"), width)?,
            query_key_value: weights.matrix(
                &[
                    (&name("attn_q"), query_width),
                    (&name("attn_k"), kv_width),
                    (&name("attn_v"), kv_width),
                ],
                width,
            )?,
            attention_output: weights.matrix(&[(&name("attn_output"), width)], query_width)?,
            feed_forward_norm: weights.vector(&name("ffn_norm"), width)?,
            gate_up: weights.matrix(
                &[(&name("ffn_gate"), feed_forward), (&name("ffn_up"), feed_forward)],
                width,
            )?,
            down: weights.matrix(&[(&name("ffn_down"), width)], feed_forward)?,
        })
    }
}

fn multiply(weights: &Q8Matrix, kernels: Kernels, inputs: &Q8Rows, out: &mut Vec<f32>) {
    out.resize(weights.rows() * inputs.rows(), 0.0);
    weights.multiply(kernels, inputs, out);
}

/// Scales each row to a mean square of one and then by `weights`.
fn normalise(rows: &[f32], weights: &[f32], epsilon: f32, out: &mut Vec<f32>) {
    out.resize(rows.len(), 0.0);
    let width = weights.len();
    out.par_chunks_exact_mut(width).zip(rows.par_chunks_exact(width)).for_each(|(out, row)| {
        #[expect(clippy::cast_precision_loss, reason = "rows are far below 2^24 numbers")]
        let mean = attention::dot(row, row) / width as f32;
        let scale = 1.0 / (mean + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(row).zip(weights) {
            *out = x * scale * weight;
        }
    });
}

/// Numbers of keys and values that are worth handing to another thread.
const SHARE_NUMBERS: usize = 1 << 15;

/// Attention of each new token, the first of which stands at `position`, to itself and all before it.
fn attend(
    shape: &HyperParameters,
    kernels: Kernels,
    position: usize,
    query_key_value: &[f32],
    (keys, values): (&[f32], &[f32]),
    out: &mut [f32],
) {
    let (head_width, stride) = (shape.head_width, shape.kv_width());
    let row_width = shape.query_width() + 2 * stride;
    let share = SHARE_NUMBERS / ((position + 1) * head_width * 2) + 1;
    let heads = out.par_chunks_exact_mut(head_width).with_min_len(share).enumerate();
    heads.for_each_init(Vec::new, |scores, (i, out)| {
        let (token, head) = (i / shape.heads, i % shape.heads);
        let kv_head = head / (shape.heads / shape.kv_heads);
        let head = attention::Head {
            query: &query_key_value[token * row_width + head * head_width..][..head_width],
            keys: &keys[kv_head * head_width..],
            values: &values[kv_head * head_width..],
            stride,
            positions: position + token + 1,
        };
        kernels.attend(head, scores, out);
    });
}

/// Multiplies the second half of each row with the gate in the first.
fn gate(gate_up: &[f32], width: usize, out: &mut Vec<f32>) {
    out.resize(gate_up.len() / 2, 0.0);
    let rows = out.par_chunks_exact_mut(width).zip(gate_up.par_chunks_exact(2 * width));
    rows.for_each(|(out, row)| {
        let (gate, up) = row.split_at(width);
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = silu(*gate) * up;
        }
    });
}

fn add(residual: &mut [f32], update: &[f32]) {
    for (sum, number) in residual.iter_mut().zip(update) {
        *sum += number;
    }
}
