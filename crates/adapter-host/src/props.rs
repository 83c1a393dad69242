use serde::{Deserialize, Serialize};

/// What an engine is and can do.
#[derive(Debug, Clone, PartialEq)]
pub struct Props {
    /// Name of the engine, such as `candle` or `openai`.
    pub engine: String,
    /// Version as the engine or the adapter gives it; empty where it does not tell.
    pub engine_version: String,
    /// The models it serves now.
    pub models: Vec<EngineModel>,
    /// Generations it runs at once.
    pub slots: u32,
    /// What it can do.
    pub features: Features,
}

/// A model as the engine offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineModel {
    /// The name to put into [`Attempt::model`](crate::Attempt::model).
    pub name: String,
    /// Context in tokens, where the engine tells it.
    pub ctx_max: Option<u32>,
}

/// Abilities of an engine that decide how a task can be run, restarted and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// Takes a prompt as token ids of the model's vocabulary and reports the id of each output token.
    pub token_ids: bool,
    /// Renders conversations with the model's template itself.
    pub chat: bool,
    /// Feeds accepted ids through decode again and continues with equal arithmetic
    /// ([`Attempt::accepted`](crate::Attempt::accepted)).
    pub replay: bool,
    /// Equal attempts give equal bytes, so that an attempt may be made again from the start and compared
    /// with what was already shown.
    pub strict: bool,
    /// Which sampling parameters take effect.
    pub sampling: SamplingSupport,
    /// What answers can be beyond one plain text.
    pub output: OutputSupport,
    /// Tokens of context that each image of a prompt is counted as; 0 where the engine tells them itself
    /// or takes no images.
    pub image_tokens: u32,
    /// What kinds of work it does.
    pub workloads: Workloads,
}

/// Kinds of work that an engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workloads {
    pub completion: bool,
    pub embedding: bool,
}

impl Default for Workloads {
    /// Completion alone.
    fn default() -> Self {
        Self { completion: true, embedding: false }
    }
}

/// What answers an engine can give beyond one plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "one independent yes or no for each feature")]
pub struct OutputSupport {
    /// Any JSON object.
    pub json_object: bool,
    /// JSON that follows a schema.
    pub json_schema: bool,
    /// The log probability of each token, with alternatives.
    pub logprobs: bool,
    /// Calls of tools, and conversations with them.
    pub tools: bool,
    /// Several answers to one prompt.
    pub choices: bool,
    /// Images in prompts.
    pub images: bool,
}

impl OutputSupport {
    /// The API name of the first field that `needed` asks for and this lacks.
    #[must_use]
    pub fn missing(&self, needed: &Self) -> Option<&'static str> {
        [
            (self.json_object, needed.json_object, "response_format"),
            (self.json_schema, needed.json_schema, "response_format"),
            (self.logprobs, needed.logprobs, "logprobs"),
            (self.tools, needed.tools, "tools"),
            (self.choices, needed.choices, "n"),
            (self.images, needed.images, "messages"),
        ]
        .into_iter()
        .find_map(|(has, needs, name)| (needs && !has).then_some(name))
    }
}

/// What a task asks of the engine that runs it, beyond its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    pub sampling: SamplingSupport,
    pub output: OutputSupport,
}

impl Features {
    /// The API path of the first field that `needs` asks for and this lacks.
    #[must_use]
    pub fn missing(&self, needs: &Needs) -> Option<String> {
        let sampling = self.sampling.missing(&needs.sampling);
        let sampling = sampling.map(|name| format!("sampling.{name}"));
        sampling.or_else(|| self.output.missing(&needs.output).map(str::to_owned))
    }
}

/// Which sampling parameters of [`Sampling`](crate::Sampling) an engine honours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "one independent yes or no for each parameter")]
pub struct SamplingSupport {
    pub temperature: bool,
    pub top_p: bool,
    pub top_k: bool,
    pub min_p: bool,
    pub repeat_penalty: bool,
    pub presence_penalty: bool,
    pub frequency_penalty: bool,
    pub seed: bool,
}

impl SamplingSupport {
    /// Everything.
    pub const ALL: Self = Self {
        temperature: true,
        top_p: true,
        top_k: true,
        min_p: true,
        repeat_penalty: true,
        presence_penalty: true,
        frequency_penalty: true,
        seed: true,
    };

    /// The API name of the first parameter that `needed` asks for and this lacks.
    #[must_use]
    pub fn missing(&self, needed: &Self) -> Option<&'static str> {
        [
            (self.temperature, needed.temperature, "temperature"),
            (self.top_p, needed.top_p, "top_p"),
            (self.top_k, needed.top_k, "top_k"),
            (self.min_p, needed.min_p, "min_p"),
            (self.repeat_penalty, needed.repeat_penalty, "repeat_penalty"),
            (self.presence_penalty, needed.presence_penalty, "presence_penalty"),
            (self.frequency_penalty, needed.frequency_penalty, "frequency_penalty"),
            (self.seed, needed.seed, "seed"),
        ]
        .into_iter()
        .find_map(|(has, needs, name)| (needs && !has).then_some(name))
    }
}
