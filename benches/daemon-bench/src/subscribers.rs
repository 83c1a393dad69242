use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::{
    http::{Connection, json_of},
    options::Options,
    servers::{self, MODEL},
    table::{Row, Table},
};

/// Subscribers of one task, the daemon's default.
const PER_TASK: u64 = 16;
/// Descriptors that this program needs besides.
const DESCRIPTORS_SPARE: u64 = 64;

/// Memory of subscribers of tasks that say nothing.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let wanted = options.subscribers + DESCRIPTORS_SPARE;
    if descriptors()?.is_some_and(|limit| limit < wanted) {
        println!(
            "subscribers: left out, as this shell allows fewer than {wanted} open files (ulimit -n)"
        );
        return Ok(());
    }
    let folder = options.folder.join("subscribers");
    let tasks = options.subscribers.div_ceil(PER_TASK);
    let slots = u32::try_from(tasks).context("that many tasks")?;
    let engine = servers::engine(options, slots, &[])?;
    let sections = "connections_max = 200000\n\n[queue]\nmodel_capacity = 10000\ntotal_capacity = 10000\n\n\
         [stream]\nsubscribers_max = 200000\nheartbeat_ms = 3600000\n";
    // The first lines belong to the section of the server.
    let address = servers::free_address()?;
    let pool = format!(
        "{sections}\n[pools.bench]\nengine = \"openai\"\nurl = \"http://{}\"\nslots = {slots}\n",
        engine.address
    );
    let config = servers::daemon_config(&folder, address, &pool)?;
    let mut process = servers::spawn_daemon(options, &folder, &config)?;
    servers::wait_ready(&mut process, address)?;

    let mut connection = Connection::open(address).await?;
    let mut ids = Vec::new();
    while u64::try_from(ids.len()).unwrap_or(u64::MAX) < tasks {
        let body = json!({"model_ref": MODEL, "prompt": "[[stall_after=1]]", "max_tokens": 8});
        let response = connection.post("/v2/tasks", body.to_string().into()).await?;
        if response.status().as_u16() == 503 {
            // The pool is not attached yet.
            response.into_body().collect().await.context("the answer broke off")?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let task = json_of(response).await?;
        ids.push(task["task_id"].as_str().context("a task without an id")?.to_owned());
    }
    // The last one runs before memory is looked at.
    let last = ids.last().context("no task")?;
    drop(first_event(&mut Connection::open(address).await?, last).await?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before_kib = process.rss_kib()?;
    let mut open = Vec::new();
    for number in 0..options.subscribers {
        let id = &ids[usize::try_from(number / PER_TASK).context("that many tasks")?];
        let mut connection = Connection::open(address).await?;
        let body = first_event(&mut connection, id).await?;
        open.push((connection, body));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after_kib = process.rss_kib()?;
    #[expect(clippy::cast_precision_loss, reason = "memory of a process, a count of subscribers")]
    let each_kib = after_kib.saturating_sub(before_kib) as f64 / options.subscribers as f64;
    println!("subscribers: {} hold {each_kib:.1} KiB each", open.len());
    let what = format!("memory of each of {} idle subscribers", options.subscribers);
    let row = Row::new(&what, "daemon", format!("{each_kib:.1} KiB"));
    table.add(row.target("20 KiB", each_kib <= 20.0));
    Ok(())
}

/// Subscribes, and waits until something came.
async fn first_event(connection: &mut Connection, id: &str) -> Result<hyper::body::Incoming> {
    let response = connection.get(&format!("/v2/tasks/{id}/events")).await?;
    if !response.status().is_success() {
        bail!("no subscription: {}", response.status());
    }
    let mut body = response.into_body();
    body.frame().await.context("the events ended")?.context("the events broke off")?;
    Ok(body)
}

/// Files that this process may have open; `None` without a limit.
fn descriptors() -> Result<Option<u64>> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("cannot read the limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).context("no limit of files")?;
    Ok(soft.parse().ok())
}
