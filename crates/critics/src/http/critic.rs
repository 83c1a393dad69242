use std::{fmt, sync::Arc};

use async_trait::async_trait;
use critic_executor::{Critic, CriticContext, CriticError, CriticOutput, RiskLevel};
use reqwest::{Client, Url};
use serde::Serialize;
use serde_json::Value;

use super::{
    client::{self, HttpClientError},
    secret::SecretSource,
    trace_context::with_trace,
};

/// Asks a service over HTTP.
///
/// It sends a `POST` with a JSON body:
///
/// ```json
/// {"critic": "tone", "attempt": 1, "remaining_ms": 9500, "input": "…", "output": "…" or null,
///  "context": {"tenant": "blue"}, "risk": "low" | "medium" | "high" | "critical" or null}
/// ```
///
/// with `Authorization: Bearer` if it has a credential, and the run's trace as `traceparent` or `X-Trace-Id`. A 2xx
/// answer must be a [`CriticOutput`] in JSON:
///
/// ```json
/// {"finding": {"severity": 0.7, "violations": [{"code": "rude", "message": "insults the reader"}]}, "cost": 300}
/// ```
///
/// Redirects are not followed, and it asks once: retries are the plan's.
pub struct HttpCritic {
    client: Client,
    url: Url,
    credential: Option<Arc<dyn SecretSource>>,
}

/// A critic behind `url`.
///
/// # Errors
/// An address that is none or that holds a credential, or a process without a crypto provider.
pub fn http_critic(url: &str) -> Result<HttpCritic, HttpClientError> {
    Ok(HttpCritic { client: client::client()?, url: client::address(url)?, credential: None })
}

impl HttpCritic {
    /// Sends this credential as a bearer token.
    #[must_use]
    pub fn bearer(mut self, source: impl SecretSource + 'static) -> Self {
        self.credential = Some(Arc::new(source));
        self
    }
}

impl fmt::Debug for HttpCritic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCritic").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Question<'a> {
    critic: &'a str,
    attempt: u32,
    remaining_ms: u64,
    input: &'a str,
    output: Option<&'a str>,
    context: &'a std::collections::BTreeMap<String, Value>,
    risk: Option<RiskLevel>,
}

#[async_trait]
impl Critic for HttpCritic {
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        let input = ctx.run_input();
        let remaining = ctx.remaining();
        let question = Question {
            critic: ctx.critic_name(),
            attempt: ctx.attempt(),
            remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
            input: ctx.input(),
            output: ctx.output(),
            context: input.context_map(),
            risk: input.risk_level(),
        };
        let mut request =
            with_trace(self.client.post(self.url.clone()), input.trace()).json(&question);
        if let Some(source) = &self.credential {
            request = request.bearer_auth(source.secret()?.expose());
        }
        let body = client::send(request, remaining).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            CriticError::invalid(format!(
                "the answer is no critic's output (line {line}, column {column})"
            ))
        })
    }

    fn settings(&self) -> Value {
        // A path or query may hold a token, so only its digest would be safe; the place is what tells plans apart.
        serde_json::json!({ "http": {
            "scheme": self.url.scheme(),
            "host": self.url.host_str(),
            "port": self.url.port_or_known_default(),
        } })
    }
}
