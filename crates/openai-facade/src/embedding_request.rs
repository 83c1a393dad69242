use api_types::{TaskRequest, Workload, parse_json};
use serde_json::{Map, Value};

use crate::{
    RequestHeaders, RequestProblem,
    chat_request::HARMLESS,
    fields::Fields,
    parameters::EMBEDDING_PARAMETERS,
    request::{deadline_ms, facade_problem, model, priority},
};

/// An embedding request, as a task and the form of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingRequest {
    /// Checked; canceled with its last connection (ORCH-245).
    pub task: TaskRequest,
    pub encoding: EmbeddingEncoding,
    /// Parameters that were given and have no effect, to be counted.
    pub ignored: Vec<&'static str>,
}

/// How the numbers of an embedding are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmbeddingEncoding {
    /// A list of numbers.
    #[default]
    Float,
    /// The numbers as 32-bit floats, little-endian, in base64.
    Base64,
}

/// Reads the body and headers of `POST /v1/embeddings`.
///
/// # Errors
/// As [`crate::parse_chat`].
pub fn parse_embeddings(
    body: &[u8],
    headers: &RequestHeaders<'_>,
) -> Result<EmbeddingRequest, RequestProblem> {
    let mut fields =
        Fields::of_body(parse_json::<Map<String, Value>>(body)?, &EMBEDDING_PARAMETERS);
    let model = model(&mut fields)?;
    let inputs = inputs(&mut fields)?;
    let encoding = match fields.string("encoding_format")?.as_deref() {
        None | Some("float") => EmbeddingEncoding::Float,
        Some("base64") => EmbeddingEncoding::Base64,
        Some(_) => return Err(fields.problem("encoding_format", "must be float or base64")),
    };
    if fields.take_without_effect("dimensions").is_some() {
        return Err(fields.problem("dimensions", "is not served; the model's own are given"));
    }
    let ignored =
        HARMLESS.into_iter().filter(|name| fields.take_without_effect(name).is_some()).collect();
    if let Some(name) = fields.next_left() {
        return Err(fields.problem(name, "is unknown; remove it"));
    }
    let task = TaskRequest {
        workload: Workload::Embedding,
        inputs: Some(inputs),
        model_ref: Some(model),
        priority: priority(headers)?,
        deadline_ms: deadline_ms(headers)?,
        cancel_on_disconnect: true,
        ..TaskRequest::default()
    };
    task.validate().map_err(|problem| facade_problem(&problem, None))?;
    Ok(EmbeddingRequest { task, encoding, ignored })
}

fn inputs(fields: &mut Fields) -> Result<Vec<String>, RequestProblem> {
    let wrong = |message: &str| RequestProblem::param("input", message);
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong("must be a string or a list of strings; token ids are not served")),
    };
    match fields.take("input") {
        None => Err(wrong("is required")),
        Some(Value::Array(texts)) => texts.into_iter().map(text).collect(),
        Some(one) => Ok(vec![text(one)?]),
    }
}
