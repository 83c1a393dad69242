use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    clock::now,
    http::{Connection, body_of},
    options::Options,
    sample::Sample,
    servers::{self, MODEL, Server},
    table::{Row, Table},
};

const DAEMON: &str = "daemon, durable";
/// Connections that hand tasks in.
const CONNECTIONS: usize = 64;
/// Tasks a second of the run at a fixed rate.
const RATE: u64 = 1_000;
/// Room for everything that is handed in while the engine is busy for ever.
const SECTIONS: &str =
    "\n[queue]\nmodel_capacity = 1000000\ntotal_capacity = 1000000\nbytes_max = 4294967296\n";

#[derive(Default)]
struct Sink {
    latencies_ns: Sample,
    failure: Option<anyhow::Error>,
}

/// Tasks whose durable acknowledgement came, as many as possible and at a fixed rate.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    for (name, folder) in [
        (DAEMON, options.folder.join("admission")),
        ("daemon, store in memory", options.memory_folder.join("bench-admission")),
    ] {
        let _ = std::fs::remove_dir_all(&folder);
        let engine = servers::engine(options, 1, &[])?;
        let daemon = servers::daemon(options, &folder, engine.address, 1, SECTIONS).await?;
        occupy(daemon.address).await?;
        let per_s = flood(options, &daemon).await?;
        println!("admission, {name}: {per_s:.0} tasks/s at most");
        let row = Row::new("admissions", name, format!("{per_s:.0} tasks/s"));
        table.add(if name == DAEMON { row.target("5,000 tasks/s", per_s >= 5_000.0) } else { row });
        let mut latencies = paced(options, &daemon).await?;
        let [p50, p99] = [0.5, 0.99].map(|share| millis(latencies.quantile(share)));
        println!(
            "admission, {name}: at {RATE}/s p50 {p50:.2} ms, p99 {p99:.2} ms of {}",
            latencies.len()
        );
        let what = format!("admission at {RATE} tasks/s, p50/p99");
        let row = Row::new(&what, name, format!("{p50:.2}/{p99:.2} ms"));
        table.add(if name == DAEMON { row.target("25 ms at p99", p99 <= 25.0) } else { row });
        drop(daemon);
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(())
}

/// Gives the only slot to a task that never ends, so that admission is all that happens.
async fn occupy(address: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let body = json!({"model_ref": MODEL, "prompt": "[[stall_after=1]]", "max_tokens": 8});
    body_of(connection.post("/v2/tasks", body.to_string().into()).await?).await?;
    Ok(())
}

fn body(number: u64) -> Bytes {
    let body = json!({"model_ref": MODEL, "prompt": format!("Task {number}: say something."), "max_tokens": 8});
    body.to_string().into()
}

/// Each connection hands in one task after the other.
async fn flood(options: &Options, daemon: &Server) -> Result<f64> {
    let sink = Rc::new(RefCell::new(Sink::default()));
    let start = now();
    let end = start + Duration::from_secs(options.window_s);
    let local = tokio::task::LocalSet::new();
    let address = daemon.address;
    for _ in 0..CONNECTIONS {
        let sink = Rc::clone(&sink);
        local.spawn_local(async move {
            let mut connection = match Connection::open(address).await {
                Ok(connection) => connection,
                Err(error) => return sink.borrow_mut().failure = Some(error),
            };
            while now() < end {
                let sent = now();
                let number = sink.borrow().latencies_ns.len();
                if let Err(error) = submit(&mut connection, number).await {
                    return sink.borrow_mut().failure = Some(error);
                }
                sink.borrow_mut().latencies_ns.add(nanos(now().duration_since(sent)));
            }
        });
    }
    local.await;
    let mut sink = sink.borrow_mut();
    if let Some(failure) = sink.failure.take() {
        return Err(failure);
    }
    #[expect(clippy::cast_precision_loss, reason = "fewer than a million")]
    let count = sink.latencies_ns.len() as f64;
    Ok(count / now().duration_since(start).as_secs_f64())
}

async fn submit(connection: &mut Connection, number: usize) -> Result<()> {
    let number = u64::try_from(number).unwrap_or(0);
    let response = connection.post("/v2/tasks", body(number)).await?;
    body_of(response).await.context("a task was not admitted")?;
    Ok(())
}

/// Tasks at their times, whatever became of those before; a latency counts from the time a task was due.
async fn paced(options: &Options, daemon: &Server) -> Result<Sample> {
    let start = now();
    let mut latencies = Sample::default();
    let mut idle = Vec::new();
    let mut running: JoinSet<Result<(Connection, u64)>> = JoinSet::new();
    for number in 0..RATE * options.window_s {
        let due = start + Duration::from_micros(number * 1_000_000 / RATE);
        tokio::time::sleep_until(due.into()).await;
        while let Some(done) = running.try_join_next() {
            let (connection, latency_ns) = done.context("a task panicked")??;
            idle.push(connection);
            latencies.add(latency_ns);
        }
        let connection = idle.pop();
        let address = daemon.address;
        running.spawn(async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => Connection::open(address).await?,
            };
            let response = connection.post("/v2/tasks", body(number)).await?;
            body_of(response).await.context("a task was not admitted")?;
            Ok((connection, nanos(now().duration_since(due))))
        });
    }
    while let Some(done) = running.join_next().await {
        latencies.add(done.context("a task panicked")??.1);
    }
    Ok(latencies)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(ns: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a duration of seconds")]
    let ns = ns as f64;
    ns / 1e6
}
