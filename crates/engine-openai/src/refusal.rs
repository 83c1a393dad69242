use adapter_host::{AdapterError, EngineText};
use http::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::Value;

/// Longest pause that an engine may ask for, in milliseconds.
const RETRY_AFTER_MS_MAX: u64 = 3_600_000;

/// Wordings and codes with which engines say that a prompt is too long: OpenAI and vLLM, llama.cpp,
/// SGLang, and services behind OpenAI-compatible fronts.
const CONTEXT_WORDINGS: [&str; 8] = [
    "context_length_exceeded",
    "exceed_context_size",
    "context length",
    "context size",
    "context window",
    "maximum context",
    "prompt is too long",
    "input is too long",
];
const MODEL_CODES: [&str; 1] = ["model_not_found"];

/// What an engine says in the body of an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorText {
    /// The message for people. Other parts of the body may repeat the request, so they are not kept.
    pub(crate) message: String,
    /// Its codes and types, for programs.
    codes: String,
}

impl ErrorText {
    /// Reads the usual shapes: `{error: {message, code, type}}`, `{error: text}`, `{message, code}`,
    /// `{detail: text}`, and plain text.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(body).trim().to_owned();
            return Self { message: text, codes: String::new() };
        };
        Self::of(&body)
    }

    pub(crate) fn of(body: &Value) -> Self {
        let error = match &body["error"] {
            Value::Null => body,
            error => error,
        };
        let message =
            [error, &error["message"], &error["detail"]].into_iter().find_map(Value::as_str);
        let codes = ["code", "type"].into_iter().filter_map(|key| error[key].as_str());
        Self {
            message: message.unwrap_or_default().to_owned(),
            codes: codes.collect::<Vec<_>>().join(" "),
        }
    }

    fn says(&self, wordings: &[&str]) -> bool {
        let text = format!("{} {}", self.codes, self.message).to_lowercase();
        wordings.iter().any(|wording| text.contains(wording))
    }
}

/// What a status other than success means; `masked` is the text without secrets, `model` is there where one
/// was asked for.
pub(crate) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    text: &ErrorText,
    masked: &str,
    model: Option<&str>,
) -> AdapterError {
    let number = status.as_u16();
    match (number, model) {
        (401 | 403, _) => AdapterError::Unauthorized,
        (408 | 429 | 503, _) => {
            AdapterError::Overloaded { retry_after_ms: retry_after_ms(headers) }
        }
        (404, Some(model)) => AdapterError::ModelAbsent { model: model.to_owned() },
        (400..=499, Some(model)) if text.says(&MODEL_CODES) => {
            AdapterError::ModelAbsent { model: model.to_owned() }
        }
        (400 | 413 | 422, Some(_)) if text.says(&CONTEXT_WORDINGS) => AdapterError::ContextExceeded,
        (400..=499, Some(_)) => {
            let told = (!masked.is_empty()).then(|| EngineText::new(masked.to_owned()));
            AdapterError::Refused { status: Some(number), text: told }
        }
        (500..=599, _) => {
            AdapterError::Lost { reason: format!("it answered with status {number}") }
        }
        _ => AdapterError::Protocol { reason: format!("it answered with status {number}") },
    }
}

fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let wait_ms = number("retry-after-ms")
        .or_else(|| number(RETRY_AFTER.as_str()).map(|seconds| seconds.saturating_mul(1000)));
    wait_ms.map(|wait_ms| wait_ms.min(RETRY_AFTER_MS_MAX))
}
