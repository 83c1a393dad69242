use std::{cell::RefCell, net::SocketAddr, rc::Rc};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::task::LocalSet;

use crate::{
    clock::now,
    http::{Connection, body_of},
    options::Options,
    servers::{self, MODEL},
    table::{Row, Table},
};

/// Clients that each wait for an answer before they ask again; as many as the pool has slots.
const CLIENTS: u32 = 32;
/// What memory is held against is taken after so many tasks: by then as many are kept as ever will be.
pub(crate) const EARLY: u64 = 10_000;
/// Room for many tasks, none of which has to be kept.
const SECTIONS: &str = "\n[retention]\nbytes_max = 67108864\nevent_retention_ms = 1000\ntask_retention_ms = 2000\n\n[store]\nsegment_bytes = 4194304\n";

#[derive(Default)]
struct Sink {
    left: u64,
    failure: Option<anyhow::Error>,
}

/// Whole tasks of one token, and what the daemon holds in memory after few and after many.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let folder = options.folder.join("tasks");
    let engine = servers::engine(options, CLIENTS, &[])?;
    let daemon = servers::daemon(options, &folder, engine.address, CLIENTS, SECTIONS).await?;
    run(daemon.address, EARLY).await?;
    let early_kib = daemon.process.rss_kib()?;
    let start = now();
    run(daemon.address, options.tasks - EARLY).await?;
    let seconds = now().duration_since(start).as_secs_f64();
    let late_kib = daemon.process.rss_kib()?;
    #[expect(clippy::cast_precision_loss, reason = "a few million")]
    let (per_s, ratio) =
        ((options.tasks - EARLY) as f64 / seconds, late_kib as f64 / early_kib as f64);
    println!(
        "tasks: {per_s:.0}/s, {early_kib} KiB after {EARLY}, {late_kib} KiB after {}",
        options.tasks
    );
    table.add(Row::new("whole tasks of one token", "daemon", format!("{per_s:.0} tasks/s")));
    let what = format!("memory after {} tasks", options.tasks);
    let row = Row::new(&what, "daemon", format!("{:.1} MiB", mib(late_kib)));
    table
        .add(row.ratio(format!("{ratio:.2} x that after {EARLY}")).target("1.25 x", ratio <= 1.25));
    Ok(())
}

async fn run(address: SocketAddr, tasks: u64) -> Result<()> {
    let sink = Rc::new(RefCell::new(Sink { left: tasks, failure: None }));
    let local = LocalSet::new();
    for _ in 0..CLIENTS {
        let sink = Rc::clone(&sink);
        local.spawn_local(async move {
            if let Err(error) = client(address, &sink).await {
                let mut sink = sink.borrow_mut();
                sink.left = 0;
                sink.failure.get_or_insert(error);
            }
        });
    }
    local.await;
    sink.borrow_mut().failure.take().map_or(Ok(()), Err)
}

async fn client(address: SocketAddr, sink: &RefCell<Sink>) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    loop {
        let number = {
            let mut sink = sink.borrow_mut();
            let Some(left) = sink.left.checked_sub(1) else { return Ok(()) };
            sink.left = left;
            left
        };
        let body = json!({"model": MODEL, "prompt": format!("Task {number}"), "max_tokens": 1});
        let response = connection.post("/v1/completions", body.to_string().into()).await?;
        body_of(response).await.context("a task failed")?;
    }
}

pub(crate) fn mib(kib: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "memory of a process")]
    let kib = kib as f64;
    kib / 1024.0
}
