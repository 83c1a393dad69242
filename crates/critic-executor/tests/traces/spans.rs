use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use critic_executor::{
    CriticContext, CriticOutput, CriticSpec, ExecutionPlan, Executor, Policy, RunInput, Stage,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Subscriber, subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A span as it was when it closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    name: String,
    parent: String,
    fields: BTreeMap<String, String>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}").trim_matches('"').to_owned();
        self.fields.insert(field.name().to_owned(), value);
    }
}

/// Collects all spans.
#[derive(Clone, Default)]
struct Collector {
    closed: Arc<Mutex<Vec<Seen>>>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let span = ctx.span(id).unwrap();
        let parent = span.parent().map_or(String::new(), |parent| parent.name().to_owned());
        let mut seen = Seen { name: span.name().to_owned(), parent, ..Seen::default() };
        attributes.record(&mut seen);
        span.extensions_mut().insert(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(seen) = ctx.span(id).unwrap().extensions_mut().get_mut::<Seen>() {
            values.record(seen);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        if let Some(seen) = ctx.span(&id).unwrap().extensions().get::<Seen>() {
            self.closed.lock().unwrap().push(seen.clone());
        }
    }
}

/// Verifies: CRIT-223
#[tokio::test(start_paused = true)]
async fn a_run_has_spans_for_stages_critics_and_attempts_below_the_callers_span() {
    let collector = Collector::default();
    let listening = tracing_subscriber::registry().with(collector.clone());
    let listens = subscriber::set_default(listening);
    let flaky = CriticSpec::new("flaky", |ctx: CriticContext| async move {
        tracing::info_span!("inside").in_scope(|| {});
        match ctx.attempt() {
            1 => Err(critic_executor::CriticError::transient("SECRET ERROR")),
            _ => Ok(CriticOutput::clean()),
        }
    });
    let flaky = flaky.retry(critic_executor::RetryPolicy::attempts(2));
    let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    let gated =
        CriticSpec::new("gated", fine).stage(Stage::DeepAnalysis).policy(Policy::OnViolation);
    let plan = ExecutionPlan::build([flaky, gated]).unwrap();
    let input = RunInput::new("SECRET INPUT").output("SECRET OUTPUT");
    let caller = tracing::info_span!("caller");
    let executor = Executor::default();
    let run = executor.run(&plan, input);
    tracing::Instrument::instrument(run, caller).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(listens);

    let closed = collector.closed.lock().unwrap().clone();
    let named = |name: &str| closed.iter().filter(|seen| seen.name == name).collect::<Vec<_>>();
    let field = |seen: &Seen, name: &str| seen.fields.get(name).cloned().unwrap_or_default();
    let [run] = named("run")[..] else { panic!("one run: {closed:?}") };
    assert_eq!((run.parent.as_str(), field(run, "verdict")), ("caller", "allow".to_owned()));
    assert!(named("stage").iter().all(|seen| seen.parent == "run"));
    let critics: Vec<_> = named("critic")
        .iter()
        .map(|seen| {
            assert_eq!(seen.parent, "stage");
            ["critic", "status", "attempts", "queue_ms"].map(|name| field(seen, name))
        })
        .collect();
    assert_eq!(critics, [["flaky", "succeeded", "2", "0"], ["gated", "gated", "0", "0"]]);
    let attempts: Vec<_> = named("attempt").iter().map(|seen| field(seen, "attempt")).collect();
    assert_eq!(attempts, ["1", "2"]);
    assert!(named("attempt").iter().all(|seen| seen.parent == "critic"));
    assert!(named("inside").iter().all(|seen| seen.parent == "attempt"));
    assert!(!format!("{closed:?}").contains("SECRET"), "{closed:?}");
}
