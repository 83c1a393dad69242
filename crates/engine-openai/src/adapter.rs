use std::{error::Error, pin::pin, sync::Arc, time::Duration};

use adapter_host::{
    AdapterError, Attempt, AttemptId, EngineAdapter, EngineEvent, EngineStream, Finish,
    FinishReason, Input, Props,
};
use async_trait::async_trait;
use futures_util::future::{Either, select};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
    request::Builder,
};
use url::{Position, Url};

use crate::{
    ApiKey, ConfigError, OpenAiConfig,
    config::parse_base_url,
    connections::{AnswerBody, CallError, Connections},
    embedding::{EMBEDDINGS_BYTES_MAX, EmbeddingRequest, read_embeddings},
    masked::masked,
    model_list::{is_model_name, parse_models},
    open_attempts::OpenAttempts,
    refusal::{ErrorText, refusal},
    request::Request as EngineRequest,
    stream::{Expected, OpenAiStream},
};

/// Longest body of an error that is read.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// Longest list of models that is read.
const MODELS_BYTES_MAX: usize = 4 << 20;
/// One OpenAI-compatible server.
#[derive(Debug)]
pub struct OpenAiAdapter {
    config: OpenAiConfig,
    base_url: Url,
    authorization: Option<HeaderValue>,
    api_key: Option<Arc<ApiKey>>,
    connections: Arc<Connections>,
    attempts: Arc<OpenAttempts>,
}

impl OpenAiAdapter {
    /// Makes an adapter; nothing is sent yet. It follows no redirects and reads no proxy settings.
    ///
    /// # Errors
    /// [`ConfigError`] for an address or a key that cannot be used.
    ///
    /// # Panics
    /// When the process has installed no rustls crypto provider, which is the composition root's part.
    pub fn new(config: OpenAiConfig) -> Result<Self, ConfigError> {
        let base_url = parse_base_url(&config.base_url)?;
        let api_key = config.api_key.clone().map(Arc::new);
        let authorization = match &api_key {
            None => None,
            Some(key) => {
                let value = HeaderValue::try_from(format!("Bearer {}", key.reveal()));
                let mut value =
                    value.map_err(|_unsendable| ConfigError::Key { url: base_url.to_string() })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let connections = Connections::new(base_url.clone(), connect_timeout)
            .map_err(|source| ConfigError::Client { url: base_url.to_string(), source })?;
        let connections = Arc::new(connections);
        Ok(Self { config, base_url, authorization, api_key, connections, attempts: Arc::default() })
    }

    /// The head of a request for a path of the API.
    fn request(&self, method: Method, path: &str) -> Builder {
        let builder = Request::builder()
            .method(method)
            .uri(format!("{}{path}", &self.base_url[Position::BeforePath..Position::AfterPath]))
            .header(HOST, &self.base_url[Position::BeforeHost..Position::AfterPort])
            .header(ACCEPT, "*/*");
        match &self.authorization {
            Some(value) => builder.header(AUTHORIZATION, value),
            None => builder,
        }
    }

    /// Sends a request and waits for the head of a successful response.
    async fn send(
        &self,
        request: Builder,
        body: Vec<u8>,
        model: Option<&str>,
    ) -> Result<Response<AnswerBody>, AdapterError> {
        let request = request.body(body).map_err(|error| {
            tracing::warn!(url = %self.base_url, error = &error as &dyn Error, "a request that cannot be sent");
            AdapterError::Refused { status: None, text: None }
        })?;
        let response = self.in_time(self.connections.send(request)).await?;
        let response = response.map_err(|error| self.not_answered(error))?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let headers = response.headers().clone();
        // Whatever could be read of the text is as good as the whole: the status decides.
        let (body, _) = self.in_time(read_at_most(response, ERROR_BYTES_MAX)).await?;
        let text = ErrorText::parse(&body);
        let masked = masked(&text.message, self.api_key.as_deref().map(ApiKey::reveal));
        let error = refusal(status, &headers, &text, &masked, model);
        // The text may repeat the prompt where there was one: it goes no further than the task.
        let told = model.is_none().then_some(masked);
        tracing::warn!(
            event = "engine_refused",
            url = %self.base_url,
            status = status.as_u16(),
            category = error.category(),
            text = told,
            "the engine refused a request"
        );
        Err(error)
    }

    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, AdapterError> {
        let waited_ms = self.config.first_byte_timeout_ms;
        let in_time = tokio::time::timeout(Duration::from_millis(waited_ms), future).await;
        in_time.map_err(|_elapsed| AdapterError::TimedOut { waited_ms })
    }

    fn not_answered(&self, error: CallError) -> AdapterError {
        match error {
            CallError::Connect(source) => {
                AdapterError::Unreachable { url: self.base_url.to_string(), source }
            }
            CallError::Broken(error) => {
                tracing::warn!(event = "engine_silent", url = %self.base_url, error = &error as &dyn Error, "no answer from the engine");
                let reason = "it closed the connection before it answered".to_owned();
                AdapterError::Lost { reason }
            }
        }
    }

    async fn get_models(&self) -> Result<Vec<u8>, AdapterError> {
        let response = self.send(self.request(Method::GET, "/models"), Vec::new(), None).await?;
        let (body, end) = self.in_time(read_at_most(response, MODELS_BYTES_MAX)).await?;
        match end {
            BodyEnd::Whole => Ok(body),
            BodyEnd::Cut => Err(protocol("its list of models is too long")),
            BodyEnd::Broken => {
                Err(AdapterError::Lost { reason: "the connection broke off".to_owned() })
            }
        }
    }

    async fn post(
        &self,
        attempt: &Attempt,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<AnswerBody>, AdapterError> {
        let mut builder = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json")
            .header("x-correlation-id", &*attempt.correlation_id);
        if let Some(traceparent) = &attempt.traceparent {
            builder = builder.header("traceparent", &**traceparent);
        }
        self.send(builder, body, Some(&attempt.model)).await
    }

    /// Embeds texts; what the engine gave, and its end.
    async fn embed(
        &self,
        attempt: &Attempt,
        texts: &[String],
    ) -> Result<[EngineEvent; 2], AdapterError> {
        if !self.config.workloads.embedding || !is_model_name(&attempt.model) {
            return Err(AdapterError::Refused { status: None, text: None });
        }
        let request =
            EmbeddingRequest { model: &attempt.model, input: texts, encoding_format: "float" };
        let body = serde_json::to_vec(&request).expect("strings are JSON");
        let response = self.post(attempt, "/embeddings", body).await?;
        let (body, end) = self.in_time(read_at_most(response, EMBEDDINGS_BYTES_MAX)).await?;
        match end {
            BodyEnd::Whole => {}
            BodyEnd::Cut => return Err(protocol("its embeddings are too long")),
            BodyEnd::Broken => {
                return Err(AdapterError::Lost { reason: "the connection broke off".to_owned() });
            }
        }
        let (result, prompt_tokens) = read_embeddings(&body, texts.len())
            .map_err(|unusable| protocol(&unusable.to_string()))?;
        let finish = Finish {
            reason: FinishReason::Stop,
            further: Vec::new(),
            prompt_tokens,
            output_tokens: Some(0),
        };
        Ok([EngineEvent::Result(result), EngineEvent::Finished(finish)])
    }

    /// The body of the engine's answer.
    async fn start(&self, attempt: &Attempt) -> Result<AnswerBody, AdapterError> {
        let request = EngineRequest::new(attempt, &self.config).map_err(|error| {
            tracing::warn!(attempt = %attempt.id, %error, "an attempt that cannot be sent");
            AdapterError::Refused { status: None, text: None }
        })?;
        let body = serde_json::to_vec(&request).expect("a request of finite numbers and strings");
        let response = self.post(attempt, request.path(), body).await?;
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            return Err(protocol("it answered with something else than an event stream"));
        }
        Ok(response.into_body())
    }
}

#[async_trait]
impl EngineAdapter for OpenAiAdapter {
    /// Asks for the models, which every server of this protocol has; not all have a path for health.
    async fn health(&self) -> Result<(), AdapterError> {
        self.get_models().await.map(drop)
    }

    async fn props(&self) -> Result<Props, AdapterError> {
        let body = self.get_models().await?;
        let models = parse_models(&body, self.config.ctx_max)
            .map_err(|_unreadable| protocol("its list of models is not what the protocol says"))?;
        Ok(Props {
            engine: "openai".to_owned(),
            engine_version: String::new(), // the protocol does not tell
            models,
            slots: self.config.slots,
            features: self.config.features(),
        })
    }

    async fn submit(&self, attempt: Attempt) -> Result<EngineStream, AdapterError> {
        let mut open = self.attempts.open(attempt.id);
        if let Input::Texts(texts) = &attempt.input {
            let embedded = pin!(self.embed(&attempt, texts));
            return match select(embedded, pin!(open.aborted())).await {
                Either::Left((embedded, _)) => {
                    Ok(Box::pin(futures_util::stream::iter(embedded?.map(Ok))))
                }
                Either::Right(((), _)) => Err(AdapterError::Aborted),
            };
        }
        let body = match select(pin!(self.start(&attempt)), pin!(open.aborted())).await {
            Either::Left((started, _)) => started?,
            Either::Right(((), _)) => return Err(AdapterError::Aborted),
        };
        open.receive(body);
        let expected = Expected {
            attempt: attempt.id,
            choices: attempt.output.choices(),
            chunk_is_token: self.config.chunk_is_token,
            wants_logprobs: attempt.output.logprobs.is_some(),
            wants_tools: !attempt.output.tools.is_empty(),
        };
        Ok(Box::pin(OpenAiStream::new(expected, open)))
    }

    /// Closes the attempt's connection. The protocol has no confirmation: engines notice and free the
    /// slot, mostly within one token.
    async fn abort(&self, attempt: AttemptId) -> Result<(), AdapterError> {
        self.attempts.abort(attempt);
        Ok(())
    }
}

/// How the reading of a body ended.
enum BodyEnd {
    Whole,
    Cut,
    Broken,
}

async fn read_at_most(response: Response<AnswerBody>, limit_bytes: usize) -> (Vec<u8>, BodyEnd) {
    let mut answer = response.into_body();
    let mut body = Vec::new();
    loop {
        match answer.bytes().await {
            None => return (body, BodyEnd::Whole),
            Some(Err(_)) => return (body, BodyEnd::Broken),
            Some(Ok(bytes)) => {
                let left = limit_bytes - body.len();
                body.extend_from_slice(&bytes[..bytes.len().min(left)]);
                if bytes.len() > left {
                    return (body, BodyEnd::Cut);
                }
            }
        }
    }
}

fn protocol(reason: &str) -> AdapterError {
    AdapterError::Protocol { reason: reason.to_owned() }
}
