use std::{io, sync::Arc, thread};

use crate::{
    choices::Choices,
    clock::pause_ms,
    frames::{Frames, Over},
    http::{Answer, Request},
    job::Job,
    scene::{Counters, Scene},
    task::Task,
};

/// A client: takes one job after the other, hands it in, and follows it to its end.
pub(crate) fn work(scene: &Scene) {
    while let Some((number, job)) = scene.next_job() {
        let mut choices = Choices::of(scene.seed, "client", number);
        if job.is_abandoned {
            hand_in_and_leave(scene, &job, &mut choices);
            continue;
        }
        let Some(task) = hand_in(scene, &job, number) else { continue };
        thread::scope(|scope| {
            for subscriber in 0..=job.other_subscribers {
                let choices = Choices::of(scene.seed, "subscriber", number * 100 + subscriber);
                scope.spawn(|| follow(scene, &task, choices));
            }
        });
        if choices.percent(25) && post(scene, &job, choices) == Some(Posted::First) {
            scene.violated(format!(
                "key {} was acknowledged a second time as if it were new",
                job.key
            ));
        }
    }
}

/// Hands a job in, some of them several times at once, and gives the one task that it has.
fn hand_in(scene: &Scene, job: &Job, number: u64) -> Option<Arc<Task>> {
    thread::scope(|scope| {
        for poster in 0..job.posts {
            let choices = Choices::of(scene.seed, "poster", number * 100 + poster);
            scope.spawn(|| post(scene, job, choices));
        }
    });
    scene.tried()[&job.key].task.clone()
}

/// Whether a key was new to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Posted {
    First,
    Again,
}

/// Hands a job in until it is acknowledged.
fn post(scene: &Scene, job: &Job, mut choices: Choices) -> Option<Posted> {
    while !scene.is_given_up() {
        match request(job).answer(scene.address).and_then(acknowledgement) {
            Ok((202, id, posted)) => {
                if posted == Posted::Again {
                    Counters::count(&scene.counters.replays);
                }
                scene.acknowledge(&job.key, &id);
                return Some(posted);
            }
            // The daemon is just being killed or started, or has enough to do.
            Err(_) | Ok((429 | 503, ..)) => pause_ms(choices.within(5, 60)),
            Ok((status, body, _)) => {
                scene.violated(format!("key {} was answered {status} {body}", job.key));
                return None;
            }
        }
    }
    None
}

fn request(job: &Job) -> Request<'_> {
    let key = ("Idempotency-Key", job.key.clone());
    Request { method: "POST", path: "/v2/tasks", headers: vec![key], body: Some(&job.body) }
}

/// Status, task id or error, and whether the key was new.
fn acknowledgement(answer: Answer) -> io::Result<(u16, String, Posted)> {
    let status = answer.status;
    let is_replay = answer.header("idempotency-replayed") == Some("true");
    let body = answer.json()?;
    let text = body["task_id"].as_str().map_or_else(|| body.to_string(), str::to_owned);
    Ok((status, text, if is_replay { Posted::Again } else { Posted::First }))
}

/// Hands a job in and is gone before the answer is there, or read.
fn hand_in_and_leave(scene: &Scene, job: &Job, choices: &mut Choices) {
    // Whether it arrived is just what nobody knows now.
    if let Ok(connection) = request(job).send(scene.address) {
        pause_ms(choices.up_to(20));
        drop(connection);
    }
}

/// Follows a task's events to their end, over connections that the daemon's end breaks, and over others
/// that it drops itself. It comes back where it was, at an earlier place, or where another was.
fn follow(scene: &Scene, task: &Task, mut choices: Choices) {
    let path = format!("/v2/tasks/{}/events", task.id);
    let mut position = 0;
    while !scene.is_given_up() {
        let mut request = Request::get(&path);
        if position > 0 || choices.percent(50) {
            request.headers.push(("Last-Event-ID", position.to_string()));
        }
        Counters::count(&scene.counters.streams);
        let answer = match request.answer(scene.address) {
            Ok(answer) => answer,
            Err(_) => {
                pause_ms(choices.within(2, 80));
                continue;
            }
        };
        match answer.status {
            200 => {}
            204 if task.is_over() && position == task.last_id() => return,
            // Deleted since somebody saw its end.
            404 | 410 if scene.forgets && task.is_over() => return,
            429 | 503 => {
                pause_ms(choices.within(5, 60));
                continue;
            }
            status => {
                let body = answer.json().map(|body| body.to_string()).unwrap_or_default();
                let text = format!("task {} after event {position}: {status} {body}", task.id);
                scene.violated(text);
                return;
            }
        }
        let patience = choices.percent(30).then(|| choices.within(1, 60));
        match read(scene, task, Frames::new(answer.body), &mut position, patience) {
            Ok(Read::ToTheEnd) => return,
            Ok(Read::Left | Read::Broken) => {}
            Err(what) => {
                scene.violated(format!("task {}: {what}", task.id));
                return;
            }
        }
        pause_ms(choices.within(0, 40));
        position = match choices.up_to(9) {
            0..3 => choices.up_to(task.last_id()),
            3..5 => task.last_id(),
            _ => position,
        };
    }
}

/// How reading a stream ended.
enum Read {
    ToTheEnd,
    /// The client had enough.
    Left,
    Broken,
}

/// Reads one stream from behind `position`: its ids must have no gap, and its events must be those that
/// others saw. It is left after `patience` events.
fn read(
    scene: &Scene,
    task: &Task,
    mut frames: Frames,
    position: &mut u64,
    mut patience: Option<u64>,
) -> Result<Read, String> {
    let mut has_events = false;
    loop {
        let frame = match frames.next() {
            Ok(frame) => frame,
            Err(Over::Broken(_)) => {
                Counters::count(&scene.counters.broken_streams);
                return Ok(Read::Broken);
            }
            // A daemon that is starting or full sends who resumes away like that, but with nothing.
            Err(Over::Ended) if !has_events => return Ok(Read::Left),
            Err(Over::Ended) => {
                return Err(format!(
                    "the stream ended in order after event {position}, not the task"
                ));
            }
            Err(Over::Malformed(what)) => return Err(what),
        };
        let Some(id) = frame.id else { continue };
        has_events = true;
        if id != *position + 1 {
            return Err(format!("a stream goes on with id {id} after {position}"));
        }
        let is_terminal = frame.is_terminal();
        if task.see(id, frame)? {
            Counters::count(&scene.counters.events);
        }
        *position = id;
        if is_terminal {
            return Ok(Read::ToTheEnd);
        }
        if let Some(left) = &mut patience {
            *left -= 1;
            if *left == 0 {
                return Ok(Read::Left);
            }
        }
    }
}
