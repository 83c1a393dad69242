use api_types::{ReportedTask, TaskState};
use client::{Client, TaskQuery};

use crate::{
    cli::PsArgs,
    failure::Failure,
    output::Output,
    table::{Table, number},
};

/// Most tasks on a page of the daemon's.
const PAGE_MAX: usize = 500;

/// `orchctl ps`.
pub(crate) async fn ps(client: &Client, args: &PsArgs, output: &mut Output) -> Result<(), Failure> {
    let tasks = if args.all {
        newest(client, None, args.limit).await?
    } else {
        live(client, args.limit).await?
    };
    if output.as_json {
        return output.write_json(&tasks).await;
    }
    output.write(&table(&tasks)).await
}

/// Tasks that have not ended. They are asked for in the order in which a task goes through these states, so
/// that none is missed that moves on meanwhile; one that is seen twice counts as seen last.
async fn live(client: &Client, limit: usize) -> Result<Vec<ReportedTask>, Failure> {
    let mut tasks: Vec<ReportedTask> = Vec::new();
    for state in [TaskState::Queued, TaskState::Preparing, TaskState::Running] {
        for task in newest(client, Some(state), limit).await? {
            tasks.retain(|earlier| earlier.task_id != task.task_id);
            tasks.push(task);
        }
    }
    // Ids are made in the order of time.
    tasks.sort_by(|a, b| b.task_id.cmp(&a.task_id));
    tasks.truncate(limit);
    Ok(tasks)
}

async fn newest(
    client: &Client,
    status: Option<TaskState>,
    limit: usize,
) -> Result<Vec<ReportedTask>, Failure> {
    let mut tasks = Vec::new();
    let mut query = TaskQuery { status, ..TaskQuery::default() };
    while tasks.len() < limit {
        query.limit = u32::try_from((limit - tasks.len()).min(PAGE_MAX)).ok();
        let page = client.tasks(&query).await?;
        tasks.extend(page.items);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    tasks.truncate(limit);
    Ok(tasks)
}

fn table(tasks: &[ReportedTask]) -> String {
    let mut table = Table::new(["TASK", "STATUS", "AHEAD", "TOKENS", "MODEL", "ADMITTED"]);
    for task in tasks {
        table.row([
            task.task_id.clone(),
            task.status.name().to_owned(),
            number(task.queue_position),
            number(task.usage.tokens_out),
            task.model_ref.clone(),
            task.admitted_at.clone(),
        ]);
    }
    table.text()
}
