use std::collections::BTreeMap;

use critic_executor::{
    BreakerPolicy, CriticError, CriticSpec, ExecutionPlan, Executor, ExecutorMetrics,
    ExecutorSettings, FailureMode, Node, NodeContext, PipelineExecutor, PipelineSettings, Policy,
    RateLimit, RetryPolicy, RunInput, Stage,
};
use prometheus_client::{encoding::text::encode, registry::Registry};

use crate::support::{clean, dollars, failing, hanging, ms, panicking, plan};

struct Page {
    registry: Registry,
    metrics: ExecutorMetrics,
}

impl Page {
    fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = ExecutorMetrics::register(&mut registry);
        Self { registry, metrics }
    }

    fn executor(&self) -> Executor {
        Executor::builder().metrics(&self.metrics).build()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("memory takes it");
        text
    }

    /// All series by their names and labels, without the prefix.
    fn series(&self) -> BTreeMap<String, f64> {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let name = name.strip_prefix("critic_executor_").expect("the prefix");
            (name.to_owned(), value.parse().expect("a number"))
        });
        pairs.collect()
    }

    fn value(&self, series: &str) -> f64 {
        self.series().get(series).copied().unwrap_or_else(|| panic!("{series}: {}", self.text()))
    }

    fn sum(&self, family: &str) -> f64 {
        let prefix = format!("{family}{{");
        self.series().iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, it)| it).sum()
    }
}

/// Every way in which a critic can end.
fn mixed() -> ExecutionPlan {
    let transient = || CriticError::transient("no");
    plan([
        clean("fine", 10).cost(dollars(0.25)).rate_limit(RateLimit::per_second(1.0)),
        failing("failing", 10, transient)
            .retry(RetryPolicy::attempts(2))
            .cost(dollars(0.1))
            .breaker(BreakerPolicy::consecutive(2)),
        hanging("slow").attempt_timeout(ms(100)).failure_mode(FailureMode::FailOpen),
        hanging("waiting").total_timeout(ms(150)),
        panicking("panicking"),
        clean("gated", 10)
            .stage(Stage::FastCritics)
            .policy(Policy::OnViolation)
            .evidence(Vec::<&str>::new())
            .cost(dollars(0.5)),
        clean("unsure", 10).policy(Policy::on_high_risk()).evidence(Vec::<&str>::new()),
        clean("skipped", 10).requires(["failing"]),
    ])
}

/// Verifies: CRIT-220, CRIT-222
#[tokio::test(start_paused = true)]
async fn every_critic_is_counted_once_by_how_it_ended_dropped_runs_too() {
    let page = Page::new();
    let (executor, plan) = (page.executor(), mixed());
    let report = executor.run(&plan, RunInput::new("text")).await.unwrap();
    assert_eq!(report.critics().len(), 8);
    let expected = [
        (r#"runs_total{outcome="completed"}"#, 1.0),
        (r#"verdicts_total{verdict="escalate"}"#, 1.0),
        (r#"critic_executions_total{critic="fine",stage="core_analysis",status="succeeded"}"#, 1.0),
        (r#"critic_executions_total{critic="gated",stage="fast_critics",status="gated"}"#, 1.0),
        (
            r#"critic_executions_total{critic="skipped",stage="core_analysis",status="skipped"}"#,
            1.0,
        ),
        (r#"attempts_total{critic="failing",kind="transient"}"#, 2.0),
        (r#"attempts_total{critic="fine",kind="answered"}"#, 1.0),
        (r#"retries_total{critic="failing",kind="transient"}"#, 1.0),
        (r#"timeouts_total{scope="attempt"}"#, 1.0),
        (r#"timeouts_total{scope="critic"}"#, 1.0),
        (r#"gated_total{critic="gated",policy="on_violation"}"#, 1.0),
        (r#"gate_unknown_total{critic="unsure",policy="on_high_risk"}"#, 1.0),
        (r#"panics_total{critic="panicking"}"#, 1.0),
        (r#"coverage_missing_total{critic="slow",failure_mode="fail_open"}"#, 1.0),
        (r#"coverage_missing_total{critic="failing",failure_mode="fail_closed"}"#, 1.0),
        (r#"cost_micros_total{critic="fine",cause="used"}"#, 250_000.0),
        (r#"cost_micros_total{critic="failing",cause="wasted"}"#, 200_000.0),
        (r#"cost_saved_micros_total{critic="gated",cause="gating"}"#, 500_000.0),
        (r#"critic_duration_seconds_count{critic="fine"}"#, 1.0),
        (r#"critic_queue_seconds_count{critic="fine"}"#, 1.0),
        (r#"rate_limit_wait_seconds_count{critic="fine"}"#, 1.0),
        (r#"stage_duration_seconds_count{stage="core_analysis"}"#, 1.0),
        (r#"run_duration_seconds_count{outcome="completed"}"#, 1.0),
        (r#"circuit_transitions_total{critic="failing",state="open"}"#, 1.0),
        (r#"circuit_state{critic="failing",state="open"}"#, 1.0),
        (r#"permits_limit{scope="global"}"#, 10.0),
    ];
    for (series, value) in expected {
        assert_eq!(page.value(series), value, "{series}");
    }
    assert_eq!(page.sum("critic_executions_total"), 8.0);

    drop(tokio::time::timeout(ms(50), executor.run(&plan, RunInput::new("text"))).await);
    assert_eq!(page.sum("critic_executions_total"), 16.0);
    assert_eq!(page.value(r#"runs_total{outcome="dropped"}"#), 1.0);
    assert_eq!(page.value(r#"cancellations_total{reason="caller_dropped"}"#), 1.0);
    assert_eq!(page.value("runs_in_flight"), 0.0);
}

/// Verifies: CRIT-220
#[tokio::test(start_paused = true)]
async fn gauges_follow_what_is_under_way_and_counts_outlive_their_executor() {
    let page = Page::new();
    let settings = ExecutorSettings {
        global_limit: Some(1),
        run_timeout: Some(ms(500)),
        ..ExecutorSettings::default()
    };
    let executor = Executor::builder().settings(settings).metrics(&page.metrics).build();
    let plan = plan([clean("a", 1000), clean("b", 1000), clean("c", 1000)]);
    let look = async {
        tokio::time::sleep(ms(100)).await;
        assert_eq!(page.value("runs_in_flight"), 1.0);
        assert_eq!(page.value(r#"queue_depth{scope="critics"}"#), 2.0);
        assert_eq!(page.value(r#"permits_in_use{scope="global"}"#), 1.0);
        assert_eq!(page.value(r#"permits_in_use{scope="core_analysis"}"#), 1.0);
    };
    let (report, ()) = tokio::join!(executor.run(&plan, RunInput::new("text")), look);
    report.unwrap();
    assert_eq!(page.value(r#"timeouts_total{scope="run"}"#), 1.0);
    assert_eq!(page.value(r#"runs_total{outcome="timed_out"}"#), 1.0);
    executor.shutdown(ms(10)).await;
    executor.run(&plan, RunInput::new("text")).await.unwrap_err();
    assert_eq!(page.value(r#"runs_total{outcome="shutdown"}"#), 1.0);
    drop(executor);
    let _next = page.executor();
    assert_eq!(page.value(r#"queue_depth{scope="critics"}"#), 0.0);
    assert_eq!(page.value("late_results_total"), 0.0);
}

/// Verifies: CRIT-221
#[tokio::test(start_paused = true)]
async fn labels_are_bounded_and_hold_no_id_and_no_text() {
    let page = Page::new();
    let settings = ExecutorSettings { queue_limit: None, ..ExecutorSettings::default() };
    let executor = Executor::builder().settings(settings).metrics(&page.metrics).build();
    for batch in 0..3 {
        let critics = (0..500).map(|index| clean(&format!("critic-{batch}-{index}"), 1));
        let plan = plan(critics.map(|spec: CriticSpec| {
            let named = |_: &RunInput, _: &critic_executor::EvidenceView<'_>| true;
            spec.policy(Policy::conditional("SECRET condition", named)).evidence(["x"; 0])
        }));
        let options = critic_executor::RunOptions::new().run_id("SECRET run");
        executor.run_with(&plan, RunInput::new("SECRET text"), options).await.unwrap();
    }
    let text = page.text();
    assert!(!text.contains("SECRET"));
    let series = page.series();
    let executions = series.keys().filter(|name| name.starts_with("critic_executions_total"));
    assert_eq!(executions.count(), 1001);
    let other =
        r#"critic_executions_total{critic="other",stage="core_analysis",status="succeeded"}"#;
    assert_eq!(page.value(other), 500.0);
}

/// Verifies: CRIT-220
#[tokio::test(start_paused = true)]
async fn pipelines_count_nodes_and_runs_by_name() {
    let page = Page::new();
    let node = |name: &'static str, millis| {
        Node::new(name, move |value: u32, _ctx: NodeContext| async move {
            tokio::time::sleep(ms(millis)).await;
            Ok(value)
        })
    };
    let pipeline =
        PipelineExecutor::new(PipelineSettings::pipeline(), [node("quick", 10), node("slow", 400)])
            .unwrap()
            .with_metrics("orders", &page.metrics);
    pipeline.run("order 7", 1).await.unwrap_err();
    let expected = [
        (r#"node_duration_seconds_count{node="quick",status="completed"}"#, 1.0),
        (r#"node_duration_seconds_count{node="slow",status="timed_out"}"#, 1.0),
        (r#"node_timeouts_total{node="slow"}"#, 1.0),
        (r#"pipeline_duration_seconds_count{pipeline="orders",status="timed_out"}"#, 1.0),
        (r#"pipeline_timeouts_total{pipeline="orders"}"#, 1.0),
    ];
    for (series, value) in expected {
        assert_eq!(page.value(series), value, "{series}");
    }
    assert!(!page.text().contains("order 7"));
}
