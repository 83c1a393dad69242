use adapter_host::EngineModel;
use serde::Deserialize;

/// Most models taken from one server; a remote service may list more than anyone routes to.
const MODELS_MAX: usize = 4096;
/// Longest name of a model, in bytes.
pub(crate) const MODEL_NAME_BYTES_MAX: usize = 512;

#[derive(Deserialize)]
struct ModelList {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    /// vLLM and SGLang.
    max_model_len: Option<u32>,
    /// OpenRouter and others.
    context_length: Option<u32>,
    /// Groq.
    context_window: Option<u32>,
}

/// Reads the answer of `GET /v1/models`. Names that could not be sent back are left out.
pub(crate) fn parse_models(
    body: &[u8],
    ctx_max: Option<u32>,
) -> Result<Vec<EngineModel>, serde_json::Error> {
    let list: ModelList = serde_json::from_slice(body)?;
    let models = list.data.into_iter().filter(|model| is_model_name(&model.id)).take(MODELS_MAX);
    let models = models.map(|model| {
        let told = model.max_model_len.or(model.context_length).or(model.context_window);
        let ctx_max = [told, ctx_max].into_iter().flatten().min();
        EngineModel { name: model.id, ctx_max }
    });
    Ok(models.collect())
}

pub(crate) fn is_model_name(name: &str) -> bool {
    (1..=MODEL_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
}
