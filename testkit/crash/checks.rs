use std::{collections::BTreeMap, io};

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use serde_json::Value;

use crate::{
    clock::{now, pause_ms},
    frames::{Frame, Frames, Over},
    http::Request,
    job::Outcome,
    scene::Scene,
    task::Task,
};

/// Longest wait for tasks that nobody follows.
const REST_WITHIN_S: u64 = 60;

/// Most that may be left of the events when all is deleted: the segment that is written, one that is prepared
/// for being so, and some room.
const BYTES_LEFT_MAX: u64 = 4 << 20;

/// What the tasks were like in the end.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) tasks: u64,
    /// Tasks with more than one attempt.
    pub(crate) interrupted: u64,
    /// Attempts beyond each task's first.
    pub(crate) attempts_again: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// Tasks that were read to their end, and deleted since.
    pub(crate) forgotten: u64,
}

/// Waits until every task ended, and gives them all, oldest first.
pub(crate) fn ended_tasks(scene: &Scene) -> anyhow::Result<Vec<Value>> {
    let start = now();
    loop {
        let tasks = all_tasks(scene)?;
        let live = tasks.iter().filter(|task| is_live(task)).count();
        if live == 0 {
            return Ok(tasks);
        }
        if now().duration_since(start).as_secs() > REST_WITHIN_S {
            let example = tasks.iter().find(|task| is_live(task)).unwrap_or(&Value::Null);
            bail!("{live} tasks have not ended, such as {example}");
        }
        pause_ms(100);
    }
}

fn is_live(task: &Value) -> bool {
    matches!(task["status"].as_str(), Some("queued" | "preparing" | "running"))
}

fn all_tasks(scene: &Scene) -> anyhow::Result<Vec<Value>> {
    let mut tasks = Vec::new();
    let mut path = "/v2/tasks?limit=500".to_owned();
    loop {
        let answer = Request::get(&path).answer(scene.address).context("cannot list the tasks")?;
        let mut page = answer.json().context("cannot read the list of tasks")?;
        let Some(items) = page["items"].as_array_mut() else { bail!("no list of tasks: {page}") };
        tasks.append(items);
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v2/tasks?limit=500&cursor={cursor}"),
            None => break,
        }
    }
    tasks.reverse();
    Ok(tasks)
}

/// Holds what the daemon tells of its tasks against what its clients know. `expected` are the outcomes of
/// an undisturbed run, by key; what is missing there is known by the job itself.
pub(crate) fn check(
    scene: &Scene,
    tasks: &[Value],
    expected: &BTreeMap<String, Outcome>,
) -> Summary {
    let mut summary = Summary::default();
    let tried = scene.tried().clone();
    let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
    for view in tasks {
        let (key, id) = (text(view, "client_ref"), text(view, "task_id"));
        if let Some(other) = keys.insert(key, id) {
            scene.violated(format!("key {key} has the tasks {other} and {id}"));
        }
        let Some(of_key) = tried.get(key) else {
            scene.violated(format!("task {id} has the key {key}, which nobody used"));
            continue;
        };
        // A client that left knows nothing of its task; it is read now for the first time.
        let task = of_key.task.clone().unwrap_or_else(|| scene.acknowledge(key, id));
        if text(view, "status") != "succeeded" {
            scene.violated(format!("task {id} of key {key} ended like this: {view}"));
        }
        if read_again(scene, &task) == Left::Nothing && !task.is_over() {
            // Nobody ever read it, and now nobody can.
            summary.tasks += 1;
            continue;
        }
        if view["last_event_id"].as_u64() != Some(task.last_id()) {
            scene.violated(format!("task {id} has {} events and tells {view}", task.last_id()));
        }
        let outcome = expected.get(key).or(of_key.job.outcome.as_ref());
        match (task.outcome(), outcome) {
            (Ok(found), Some(expected)) if found != *expected => scene.violated(format!(
                "task {id} of key {key} was to give {expected:?} and gave {found:?}"
            )),
            (Ok(_), _) => {}
            (Err(what), _) => scene.violated(format!("task {id} of key {key}: {what}")),
        }
        let (events, bytes) = task.size();
        let again = (view["attempts"].as_array().map_or(0, Vec::len) as u64).saturating_sub(1);
        summary.tasks += 1;
        summary.interrupted += u64::from(again > 0);
        summary.attempts_again += again;
        summary.events += events;
        summary.bytes += bytes;
    }
    for (key, tried) in &tried {
        match (&tried.task, keys.get(key.as_str())) {
            (Some(task), Some(id)) if task.id == *id => {}
            (Some(task), None) if scene.forgets && task.is_over() => summary.forgotten += 1,
            (Some(task), found) => scene.violated(format!(
                "key {key} was acknowledged as task {} and is listed as {found:?}",
                task.id
            )),
            (None, _) if tried.job.is_abandoned => {}
            (None, _) => scene.violated(format!("key {key} was never acknowledged")),
        }
    }
    summary
}

/// Waits until all that ended is deleted, and its room is free again.
pub(crate) fn all_forgotten(scene: &Scene, events: &Utf8Path) -> anyhow::Result<()> {
    let start = now();
    loop {
        let tasks = all_tasks(scene)?.len();
        let bytes = bytes_in(events)?;
        if tasks == 0 && bytes <= BYTES_LEFT_MAX {
            return Ok(());
        }
        if now().duration_since(start).as_secs() > REST_WITHIN_S {
            bail!("{tasks} tasks and {bytes} bytes of events are not deleted");
        }
        pause_ms(100);
    }
}

fn bytes_in(folder: &Utf8Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir_utf8().with_context(|| format!("cannot read {folder}"))? {
        // A file may go while the folder is read.
        bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
    }
    Ok(bytes)
}

/// What is left of a task's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    All,
    /// They were deleted, as what ended is.
    Nothing,
}

/// Reads a task's events once more from the start: they must be what its subscribers saw, all of it, or
/// where what ended is deleted, nothing at all.
pub(crate) fn read_again(scene: &Scene, task: &Task) -> Left {
    let mut count = 0;
    let seen_before = task.last_id();
    let what = match stored_events(scene, task) {
        Ok(None) => return Left::Nothing,
        Ok(Some(frames)) => frames.into_iter().find_map(|frame| {
            count += 1;
            let id = frame.id.unwrap_or_default();
            let gap = (id != count).then(|| format!("id {id} stands where {count} belongs"));
            gap.or_else(|| task.see(id, frame).err())
        }),
        Err(error) => Some(format!("its events cannot be read: {error}")),
    };
    let lost = (count < seen_before).then(|| format!("of {seen_before} events {count} are left"));
    if let Some(what) = what.or(lost) {
        scene.violated(format!("task {} read again: {what}", task.id));
    }
    Left::All
}

/// The stored events; nothing where they were deleted.
fn stored_events(scene: &Scene, task: &Task) -> io::Result<Option<Vec<Frame>>> {
    let path = format!("/v2/tasks/{}/events", task.id);
    let answer = Request::get(&path).answer(scene.address)?;
    if scene.forgets && matches!(answer.status, 404 | 410) {
        return Ok(None);
    }
    if answer.status != 200 {
        return Err(io::Error::other(format!("status {}", answer.status)));
    }
    let mut frames = Frames::new(answer.body);
    let mut stored = Vec::new();
    loop {
        match frames.next() {
            Ok(frame) if frame.id.is_some() => stored.push(frame),
            Ok(_) => {}
            Err(Over::Ended) => return Ok(Some(stored)),
            Err(Over::Broken(error)) => return Err(error),
            Err(Over::Malformed(what)) => return Err(io::Error::other(what)),
        }
    }
}

fn text<'a>(view: &'a Value, field: &str) -> &'a str {
    view[field].as_str().unwrap_or_default()
}
