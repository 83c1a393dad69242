use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::{
    Method, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderMap},
};
use serde_json::{Value, json};
use testkit::{Directives, Script};
use tokio::sync::Semaphore;

use crate::{
    answer::{Answer, Counters, TokenBody},
    options::Options,
    request::{Request, fields_for_log},
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
        if let Some(refusal) = self.refusal(&request, &directives, prompt_tokens) {
            return self.refuse(path, &refusal);
        }

        let mut entry = self.log.start(path, &headers, &fields_for_log(&body).into());
        let slot =
            Arc::clone(&self.slots).acquire_owned().await.expect("the slots are never closed");
        tokio::time::sleep(Duration::from_millis(directives.prefill_ms)).await;
        let answer = Answer {
            script,
            tokens: script.tokens().min(request.max_tokens().unwrap_or(u32::MAX)),
            prompt_tokens,
            is_chat,
            includes_usage: request.includes_usage(),
            model: request.model.clone(),
            fault: directives.fault,
            rate: self.options.rate,
            split_bytes: self.options.split_bytes.unwrap_or(usize::MAX).max(1),
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

    fn refusal(
        &self,
        request: &Request,
        directives: &Directives,
        prompt_tokens: u32,
    ) -> Option<Refusal> {
        if let Some(status) = directives.error_status {
            let text = directives.error_bytes.map_or_else(
                || "refused as directed".to_owned(),
                |bytes| "x".repeat(usize::try_from(bytes).expect("a length")),
            );
            let refusal = Refusal::new(status, "directed", &text);
            return Some(Refusal { retry_after_s: directives.retry_after_s, ..refusal });
        }
        if !self.options.models.contains(&request.model) {
            let text = format!("The model `{}` does not exist.", request.model);
            return Some(Refusal::new(404, "model_not_found", &text));
        }
        let needed = prompt_tokens.saturating_add(request.max_tokens().unwrap_or(0));
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
