use std::future::Future;

use async_trait::async_trait;
use serde_json::Value;

use crate::context::CriticContext;
use crate::error::CriticError;
use crate::finding::CriticOutput;

/// A check of one input and output.
///
/// Async closures are critics too: anything that takes a [`CriticContext`] and returns a future of
/// `Result<CriticOutput, CriticError>`.
///
/// ```
/// use critic_executor::{Critic, CriticContext, CriticError, CriticOutput, Finding, RunInput};
///
/// struct Shouting;
///
/// #[async_trait::async_trait]
/// impl Critic for Shouting {
///     async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
///         let loud = ctx.input().chars().filter(|c| c.is_uppercase()).count();
///         Ok(Finding::new(if loud > 10 { 0.6 } else { 0.0 }).into())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let ctx = CriticContext::standalone(RunInput::new("PLEASE ANSWER ME"));
/// assert_eq!(Shouting.evaluate(&ctx).await.unwrap().finding.severity, 0.6);
///
/// let quiet = |ctx: CriticContext| async move { Ok(Finding::new(if ctx.output().is_none() { 1.0 } else { 0.0 }).into()) };
/// assert_eq!(quiet.evaluate(&ctx).await.unwrap().finding.severity, 1.0);
/// # });
/// ```
#[async_trait]
pub trait Critic: Send + Sync {
    /// Judges the input of the context.
    ///
    /// The future is dropped when its attempt is cancelled or out of time and the grace has passed; it can watch
    /// [`CriticContext::cancellation`] to end in order before that.
    ///
    /// # Errors
    /// Whatever kept it from answering; the [kind](crate::ErrorKind) decides whether it is tried again.
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError>;

    /// The settings that can change this critic's answers, without secrets. They are part of the plan's digest
    /// and of cache keys; null says that there are none.
    fn settings(&self) -> Value {
        Value::Null
    }
}

#[async_trait]
impl<F, Fut> Critic for F
where
    F: Fn(CriticContext) -> Fut + Send + Sync,
    Fut: Future<Output = Result<CriticOutput, CriticError>> + Send + 'static,
{
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        self(ctx.clone()).await
    }
}
