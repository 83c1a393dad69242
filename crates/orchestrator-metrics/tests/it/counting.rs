use std::time::Duration;

use api_types::Priority;
use orchestrator::{Observer as _, Standing, Streamed, TaskLabels};
use orchestrator_metrics::{DECLARATIONS, DaemonMetrics, Samples};

fn page(metrics: &DaemonMetrics) -> String {
    let standing = Standing {
        failing: Vec::new(),
        models: Vec::new(),
        pools: Vec::new(),
        queue: Vec::new(),
        subscribers: 0,
        unknown_releases: 0,
    };
    let samples = Samples {
        standing,
        store_bytes: Vec::new(),
        torn_tails: 0,
        auth_failures: Vec::new(),
        connections_open: 0,
        connections_refused: 0,
        panics: 0,
        spans_sent: 0,
        spans_dropped: 0,
        version: "1",
    };
    metrics.page(&samples).unwrap()
}

/// Verifies: ORCH-264
#[test]
fn pauses_are_counted_in_the_buckets_that_are_declared() {
    let declared = DECLARATIONS.iter().find(|one| one.name == "orchd_inter_token_seconds").unwrap();
    let expected: Vec<f64> =
        Streamed::PAUSES_MS.iter().map(|ms| Duration::from_millis(*ms).as_secs_f64()).collect();
    assert_eq!(declared.buckets, expected);
    let metrics = DaemonMetrics::default();
    let mut streamed = Streamed { tokens: 5, pauses_sum_ms: 12_003, ..Streamed::default() };
    streamed.pauses[0] = 2;
    streamed.pauses[13] = 1;
    let task = TaskLabels { model: "m", priority: Priority::Batch };
    metrics.streamed(task, "p", &streamed);
    let page = page(&metrics);
    for line in [
        "orchd_tokens_out_total{model=\"m\",pool=\"p\"} 5",
        "orchd_inter_token_seconds_sum{model=\"m\"} 12.003",
        "orchd_inter_token_seconds_count{model=\"m\"} 3",
        "orchd_inter_token_seconds_bucket{le=\"0.001\",model=\"m\"} 2",
        "orchd_inter_token_seconds_bucket{le=\"10.0\",model=\"m\"} 2",
        "orchd_inter_token_seconds_bucket{le=\"+Inf\",model=\"m\"} 3",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line} in {page}");
    }
}

/// Verifies: ORCH-265
#[test]
fn ten_thousand_models_leave_a_page_of_bounded_length() {
    let metrics = DaemonMetrics::default();
    let admit = |number: u32| {
        let name = format!("model-{number}");
        let task = TaskLabels { model: &name, priority: Priority::Interactive };
        metrics.admitted(task, Duration::from_millis(1));
        metrics.first_token(task, Duration::from_millis(2));
        metrics.streamed(task, "p", &Streamed { tokens: 1, ..Streamed::default() });
    };
    (0..1000).for_each(admit);
    let before = page(&metrics).lines().count();
    (1000..10_000).for_each(admit);
    let after = page(&metrics);
    assert_eq!(after.lines().count(), before);
    let rest = "orchd_tasks_admitted_total{model=\"other\",priority=\"interactive\"} 9800";
    assert!(after.contains(rest), "{after}");
}
