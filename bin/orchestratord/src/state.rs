use std::sync::Arc;

use api_types::PreparationView;
use http_edge::{ClientIdentity, Problem};
use operations::Operations;
use orchestrator::{Orchestrator, QueuePlace, Refusal, TaskRow};
use orchestrator_core::TaskId;
use tokio_util::task::TaskTracker;

use crate::{
    abilities::Abilities, catalog_parts::CatalogParts, current::Current, event_stream::Pace,
    scrape::Scrape,
};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) orchestrator: Arc<Orchestrator>,
    pub(crate) catalog: Arc<CatalogParts>,
    pub(crate) operations: Arc<Operations>,
    pub(crate) pace: Current<Pace>,
    pub(crate) scrape: Arc<Scrape>,
    pub(crate) profile: &'static str,
    pub(crate) abilities: Current<Abilities>,
    /// Admissions that are carried through although the client leaves in their middle; they end with the
    /// runtime.
    pub(crate) admissions: TaskTracker,
}

impl AppState {
    /// Work that must be done before a task can run; nothing once it has ended.
    pub(crate) fn preparation_of(&self, row: &TaskRow) -> PreparationView {
        if row.end.is_some() {
            return PreparationView::default();
        }
        self.orchestrator.preparation(&row.spec.model_id)
    }

    /// The task, and its place in the queue while it waits. What belongs to somebody else is not there
    /// for whoever may not see it (ORCH-234), nor are the names of others that are ahead.
    pub(crate) async fn task_for(
        &self,
        who: &ClientIdentity,
        id: TaskId,
    ) -> Result<(TaskRow, Option<QueuePlace>), Refusal> {
        let (row, mut place) = self.orchestrator.task(id).await?;
        if !who.may_see(&row.identity) {
            return Err(Refusal::UnknownTask);
        }
        for ahead in place.iter_mut().flat_map(|place| &mut place.ahead) {
            ahead.identity.take_if(|identity| !who.may_see(&identity.0));
        }
        Ok((row, place))
    }
}

/// A refusal as an answer.
pub(crate) fn problem(refusal: &Refusal, correlation_id: &str) -> Problem {
    if let Refusal::Store(_) | Refusal::Events(_) = refusal {
        let mut chain = vec![refusal.to_string()];
        let mut source = std::error::Error::source(refusal);
        while let Some(cause) = source {
            chain.push(cause.to_string());
            source = cause.source();
        }
        tracing::error!(correlation_id, error = chain.join(": "), "a request failed");
    }
    Problem::from(refusal.body(correlation_id))
}
