use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::{
    Method, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderMap},
};
use serde_json::{Value, json};
use testkit::{Directives, FaultKind, Script};
use tokio::sync::Semaphore;

use crate::{
    answer::{Answer, Counters, DEATH, TokenBody},
    options::Options,
    request::{EmbeddingRequest, Request, fields_for_log},
    request_log::RequestLog,
};

const BODY_BYTES_MAX: usize = 16 << 20;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    options: Options,
    slots: Arc<Semaphore>,
    counters: Arc<Counters>,
    log: RequestLog,
}

type Body = Either<Full<Bytes>, TokenBody>;

impl Server {
    pub(crate) fn new(options: Options) -> std::io::Result<Self> {
        let slots =
            Arc::new(Semaphore::new(usize::try_from(options.slots).expect("a count of slots")));
        let counters = Arc::new(Counters::new(options.fail_after_tokens, options.fail_after_bytes));
        let log = RequestLog::open(options.log.as_deref())?;
        Ok(Self { options, slots, counters, log })
    }

    pub(crate) async fn handle(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        if path.starts_with("/v1/") && !self.may_enter(request.headers()) {
            return Ok(self.refuse(
                &path,
                &Refusal::new(401, "invalid_api_key", "Incorrect API key provided"),
            ));
        }
        Ok(match (request.method(), path.as_str()) {
            (&Method::GET, "/health") => json_response(StatusCode::OK, &json!({"status": "ok"})),
            (&Method::GET, "/v1/models") => json_response(StatusCode::OK, &self.models()),
            (&Method::POST, "/v1/chat/completions") => self.generate(request, &path, true).await,
            (&Method::POST, "/v1/completions") => self.generate(request, &path, false).await,
            (&Method::POST, "/v1/embeddings") => self.embed(request, &path).await,
            _ => self.refuse(&path, &Refusal::new(404, "not_found", "no such path")),
        })
    }

    fn may_enter(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.options.key else { return true };
        headers.get(header::AUTHORIZATION).is_some_and(|given| *given == format!("Bearer {key}"))
    }

    fn models(&self) -> Value {
        let model =
            |id: &String| json!({"id": id, "object": "model", "max_model_len": self.options.ctx});
        json!({"object": "list", "data": self.options.models.iter().map(model).collect::<Vec<_>>()})
    }

    async fn generate(
        &self,
        request: hyper::Request<Incoming>,
        path: &str,
        is_chat: bool,
    ) -> Response<Body> {
        let headers = headers_for_log(request.headers());
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return self
                .refuse(path, &Refusal::new(400, "invalid_request", "the body cannot be read"));
        };
        let body = body.to_bytes();
        let request: Request = match serde_json::from_slice(&body) {
            Ok(request) => request,
            Err(error) => {
                return self
                    .refuse(path, &Refusal::new(400, "invalid_request", &error.to_string()));
            }
        };
        let prompt = request.prompt(is_chat);
        let directives =
            if self.options.directives { Directives::read(&prompt) } else { Directives::default() };
        let script = Script::new(&prompt, &directives);
        let prompt_tokens = u32::try_from(prompt.split_whitespace().count()).unwrap_or(u32::MAX);
        if let Some(refusal) = self.refusal(
            &request.model,
            request.max_tokens(),
            &directives,
            (&prompt, prompt_tokens),
        ) {
            return self.refuse(path, &refusal);
        }

        let mut entry = self.log.start(path, &headers, &fields_for_log(&body).into());
        let slot =
            Arc::clone(&self.slots).acquire_owned().await.expect("the slots are never closed");
        tokio::time::sleep(Duration::from_millis(directives.prefill_ms)).await;
        let answer = Answer {
            id: entry.id(),
            script,
            tokens: script.tokens().min(request.max_tokens().unwrap_or(u32::MAX)),
            prompt_tokens,
            is_chat,
            includes_usage: request.includes_usage(),
            model: request.model.clone(),
            fault: directives.fault,
            rate: self.options.rate,
            burst: self.options.burst,
            has_stamps: self.options.stamps,
            split_bytes: self.options.split_bytes.unwrap_or(usize::MAX).max(1),
            choices: request.choices(),
            has_logprobs: request.wants_logprobs(),
            tool: request.tool().filter(|_| directives.call_tool).map(str::to_owned),
            reasoning_tokens: directives.reasoning_tokens,
        };
        if !request.stream {
            let seconds =
                if answer.rate > 0.0 { f64::from(answer.tokens) / answer.rate } else { 0.0 };
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            for _ in 0..answer.tokens {
                self.counters.count_token(&mut entry);
            }
            entry.end();
            return json_response(StatusCode::OK, &answer.whole());
        }
        let body = TokenBody::new(answer, Arc::clone(&self.counters), entry, slot);
        Response::builder()
            .header(header::CONTENT_TYPE, "text/event-stream")
            .body(Either::Right(body))
            .expect("a valid head")
    }

    /// Each text becomes the numbers of its first bytes, `dimensions` of them; the directives of the first
    /// text count.
    async fn embed(&self, request: hyper::Request<Incoming>, path: &str) -> Response<Body> {
        let headers = headers_for_log(request.headers());
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return self
                .refuse(path, &Refusal::new(400, "invalid_request", "the body cannot be read"));
        };
        let body = body.to_bytes();
        let request: EmbeddingRequest = match serde_json::from_slice(&body) {
            Ok(request) => request,
            Err(error) => {
                return self
                    .refuse(path, &Refusal::new(400, "invalid_request", &error.to_string()));
            }
        };
        let first = request.input.first().map_or("", String::as_str);
        let directives =
            if self.options.directives { Directives::read(first) } else { Directives::default() };
        let words = request.input.iter().map(|text| text.split_whitespace().count());
        let tokens = u32::try_from(words.sum::<usize>()).unwrap_or(u32::MAX);
        if let Some(refusal) = self.refusal(&request.model, None, &directives, (first, tokens)) {
            return self.refuse(path, &refusal);
        }
        let mut entry = self.log.start(path, &headers, &fields_for_log(&body).into());
        let _slot =
            Arc::clone(&self.slots).acquire_owned().await.expect("the slots are never closed");
        tokio::time::sleep(Duration::from_millis(directives.prefill_ms)).await;
        match directives.fault.map(|fault| fault.kind) {
            Some(FaultKind::Die) => std::process::exit(DEATH),
            Some(FaultKind::Stall) => std::future::pending().await,
            Some(_) | None => {}
        }
        let dimensions = directives.tokens.unwrap_or(4);
        let data = (0..).zip(&request.input).map(|(index, text): (usize, &String)| {
            let bytes = text.bytes().chain(std::iter::repeat(0));
            let count = usize::try_from(dimensions).expect("a length");
            let numbers: Vec<f32> = bytes.map(|byte| f32::from(byte) / 8.0).take(count).collect();
            json!({"object": "embedding", "index": index, "embedding": numbers})
        });
        let answer = json!({
            "object": "list", "model": request.model, "data": data.collect::<Vec<_>>(),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        });
        entry.end();
        json_response(StatusCode::OK, &answer)
    }

    fn refusal(
        &self,
        model: &str,
        max_tokens: Option<u32>,
        directives: &Directives,
        (prompt, prompt_tokens): (&str, u32),
    ) -> Option<Refusal> {
        if let Some(status) = directives.error_status {
            let text = directives.error_bytes.map_or_else(
                // Engines do repeat what they were asked.
                || format!("refused as directed: {prompt}"),
                |bytes| "x".repeat(usize::try_from(bytes).expect("a length")),
            );
            let refusal = Refusal::new(status, "directed", &text);
            return Some(Refusal { retry_after_s: directives.retry_after_s, ..refusal });
        }
        if !self.options.models.iter().any(|known| known == model) {
            let text = format!("The model `{model}` does not exist.");
            return Some(Refusal::new(404, "model_not_found", &text));
        }
        let needed = prompt_tokens.saturating_add(max_tokens.unwrap_or(0));
        (needed > self.options.ctx).then(|| {
            let ctx = self.options.ctx;
            let text = format!(
                "This model's maximum context length is {ctx} tokens, {needed} were requested."
            );
            Refusal::new(400, "context_length_exceeded", &text)
        })
    }

    fn refuse(&self, path: &str, refusal: &Refusal) -> Response<Body> {
        self.log.refuse(path, refusal.status);
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
        let error = json!({"message": refusal.text, "type": "error", "code": refusal.code});
        let mut response = json_response(status, &json!({"error": error}));
        if let Some(seconds) = refusal.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Why a request is not served.
struct Refusal {
    status: u16,
    code: &'static str,
    text: String,
    retry_after_s: Option<u32>,
}

impl Refusal {
    fn new(status: u16, code: &'static str, text: &str) -> Self {
        Self { status, code, text: text.to_owned(), retry_after_s: None }
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Either::Left(Full::from(body.to_string())))
        .expect("a valid head")
}

fn headers_for_log(headers: &HeaderMap) -> Value {
    let logged = ["authorization", "traceparent", "x-correlation-id"];
    let pairs = logged.into_iter().filter_map(|name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.to_owned(), value.into()))
    });
    Value::Object(pairs.collect())
}
