use async_trait::async_trait;
use critic_executor::{Critic, CriticContext, CriticError, CriticOutput};
use serde_json::Value;

use super::{
    JudgeModel, JudgeQuestion, PriceTable,
    question::{system_message, unpredictable_mark, user_message},
    reply::{self, verdict_schema},
};

/// Has a language model judge the texts of a run by a rubric.
///
/// The texts are passed as data between marks that nobody can guess, and the model's whole message must be one
/// JSON object of [`verdict_schema`]; anything else is [`Invalid`](critic_executor::ErrorKind::Invalid), so that
/// a text cannot forge its own verdict by having one quoted. It asks once: retries are the plan's.
#[derive(Debug)]
pub struct JudgeCritic<M> {
    model: M,
    rubric: String,
    prices: PriceTable,
}

/// A judge that asks `model` to go by `rubric`: what is to be allowed, escalated and blocked, in plain words.
pub fn judge<M: JudgeModel>(model: M, rubric: impl Into<String>) -> JudgeCritic<M> {
    JudgeCritic { model, rubric: rubric.into(), prices: PriceTable::new() }
}

impl<M: JudgeModel> JudgeCritic<M> {
    /// Counts the tokens of an answer by this table. Where it lacks the model, or the model does not tell its
    /// tokens, the plan's estimate counts and a warning is logged.
    #[must_use]
    pub fn prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }
}

#[async_trait]
impl<M: JudgeModel> Critic for JudgeCritic<M> {
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        let mut texts = vec![("input", ctx.input())];
        texts.extend(ctx.output().map(|output| ("output", output)));
        let mark = unpredictable_mark(&texts)?;
        let question = JudgeQuestion {
            system: system_message(&self.rubric, &mark),
            user: user_message(&texts, &mark),
            schema: verdict_schema(),
            remaining: ctx.remaining(),
            trace_id: ctx.run_input().trace().map(str::to_owned),
        };
        let answer = self.model.ask(question).await?;
        let cost = answer.usage.and_then(|usage| self.prices.cost(self.model.name(), usage));
        if cost.is_none() {
            tracing::warn!(
                model = self.model.name(),
                critic = ctx.critic_name(),
                "the cost of a judge's answer is not known; the plan's estimate counts"
            );
        }
        let with_cost = |error: CriticError| match cost {
            Some(cost) => error.with_cost(cost),
            None => error,
        };
        if answer.refusal.is_some() {
            return Err(with_cost(CriticError::refused("the judge refused to answer")));
        }
        if answer.is_cut {
            return Err(with_cost(CriticError::invalid("the judge's reply was cut off")));
        }
        let finding = reply::read(&answer.content).map_err(with_cost)?;
        Ok(CriticOutput { cost, ..CriticOutput::from(finding) })
    }

    fn settings(&self) -> Value {
        serde_json::json!({ "judge": { "model": self.model.name(), "rubric": self.rubric } })
    }
}
