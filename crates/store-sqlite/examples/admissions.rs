//! Measures durable admissions: how many a second, and how long each takes.
//!
//! ```sh
//! cargo run --release -p store-sqlite --example admissions -- <directory> [concurrency] [tasks] [per second] \
//!     [checkpoint pages]
//! ```
//!
//! Without a rate, each of `concurrency` clients sends its next task as soon as the former is durable.
//! With one, tasks arrive at that rate, whatever became of the former ones.

#![expect(clippy::print_stdout, reason = "a measurement for people")]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use adapter_host::Sampling;
use anyhow::Context;
use api_types::{Determinism, Failover, PlacementRequest, Priority, TaskState};
use camino::Utf8PathBuf;
use orchestrator::{Binding, BindingKey, Journal, Progress, Record, TaskRow, TaskSpec};
use orchestrator_core::TaskId;
use store_sqlite::{SqliteOptions, SqliteStore};
use tokio::task::JoinSet;
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().context("name a directory for the store")?;
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    let (concurrency, tasks, per_second) = (number(64)?, number(20_000)?, number(0)?);
    let (concurrency, tasks, per_second) = (concurrency.into(), tasks.into(), per_second.into());
    let defaults = SqliteOptions::default();
    let checkpoint_pages = number(defaults.checkpoint_pages)?;
    let options = SqliteOptions { checkpoint_pages, ..defaults };
    let path = Utf8PathBuf::from(dir).join("admissions.sqlite");
    let store = Arc::new(SqliteStore::open(&path, options)?);
    let first = store.last_sequence().await? + 1;

    let begun = now();
    let mut latencies = if per_second == 0 {
        closed_loop(&store, first, tasks, concurrency).await?
    } else {
        open_loop(&store, first, tasks, per_second).await?
    };
    let took = begun.elapsed();
    latencies.sort_unstable();
    let quantile = |permille: usize| latencies[(latencies.len() - 1) * permille / 1000];
    let stats = store.commit_stats();
    let per_second = latencies.len() as f64 / took.as_secs_f64();
    println!(
        "{per_second:.0} admissions/s; p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, max {:.2?}; {:.1} per transaction; {} MiB",
        quantile(500),
        quantile(990),
        quantile(999),
        quantile(1000),
        stats.commits as f64 / stats.transactions as f64,
        store.size_bytes()? >> 20
    );
    Ok(())
}

async fn closed_loop(
    store: &Arc<SqliteStore>,
    first: u64,
    tasks: u64,
    concurrency: u64,
) -> anyhow::Result<Vec<Duration>> {
    let mut clients = JoinSet::new();
    for client in 0..concurrency {
        let store = Arc::clone(store);
        clients.spawn(async move {
            let mut latencies = Vec::new();
            for at in (client..tasks).step_by(usize::try_from(concurrency)?) {
                let begun = now();
                store.commit(vec![admission(first + at)]).await?;
                latencies.push(begun.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    clients.join_all().await.into_iter().try_fold(Vec::new(), |mut all, latencies| {
        all.extend(latencies?);
        Ok(all)
    })
}

async fn open_loop(
    store: &Arc<SqliteStore>,
    first: u64,
    tasks: u64,
    per_second: u64,
) -> anyhow::Result<Vec<Duration>> {
    let mut arrivals = JoinSet::new();
    let begun = tokio::time::Instant::now();
    for at in 0..tasks {
        let due = begun + Duration::from_secs_f64(at as f64 / per_second as f64);
        tokio::time::sleep_until(due).await;
        let store = Arc::clone(store);
        arrivals.spawn(async move {
            store.commit(vec![admission(first + at)]).await?;
            // From when it should have arrived, so that a late start counts.
            anyhow::Ok(due.elapsed())
        });
    }
    arrivals.join_all().await.into_iter().collect()
}

/// A task of ordinary size with an idempotency key.
fn admission(sequence: u64) -> Record {
    let id = TaskId(Uuid::from_u128(0x7000_8000_0000_0000_0000 + u128::from(sequence)));
    let spec = TaskSpec {
        model_ref: "default".to_owned(),
        model_id: "sha256:4f0b1e7c".to_owned(),
        priority: Priority::Interactive,
        prompt: Some("Why is the sky blue, and the evening red? ".repeat(20)),
        workload: api_types::Workload::Completion,
        messages: None,
        inputs: None,
        output: api_types::OutputRequest::default(),
        needs: adapter_host::Needs::default(),
        max_tokens: 256,
        expected_tokens: Some(40),
        sampling: Sampling::default(),
        stop: Vec::new(),
        determinism: Determinism::BestEffort,
        failover: Failover::Auto,
        placement: PlacementRequest::default(),
        cancel_when_alone_ms: None,
        client_ref: None,
        metadata: BTreeMap::new(),
        output_mode: None,
        sampler_profile_version: None,
        correlation_id: format!("correlation-{sequence}"),
        traceparent: None,
        request_digest: "0123456789abcdef".repeat(4),
        prompt_tokens: Some(210),
        admitted_at_ms: 1_700_000_000_000,
        admitted_boot_ms: 1_000_000,
        boot_id: "5e1f0d60-0000-4000-8000-000000000000".to_owned(),
        deadline_ms: None,
        queue_max_ms: 86_400_000,
        admitted_position: 1,
        predicted_start_ms: Some(250),
    };
    let key = BindingKey {
        identity: "localhost".into(),
        route: "/v2/tasks",
        key: format!("key-{sequence:016x}").into(),
    };
    let binding = Binding { key, request_digest: spec.request_digest.clone(), task: id };
    let task = TaskRow {
        id,
        sequence,
        identity: "localhost".into(),
        state: TaskState::Queued,
        spec: Arc::new(spec),
        prompt_ids: Some((0..210).collect()),
        progress: Progress::default(),
        end: None,
    };
    Record::Admitted { task: Box::new(task), binding: Some(binding) }
}

#[expect(clippy::disallowed_methods, reason = "measures")]
fn now() -> Instant {
    Instant::now()
}
