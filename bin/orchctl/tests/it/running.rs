use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::{
    canned_daemon::{
        Asked, CannedDaemon, Reply, Step, broken_stream, json as reply, stream, write,
    },
    program::{orchctl, orchctl_with_input, start, wait},
    wire::{TASK, accepted, end, error, event, started, token},
};

/// A daemon that takes tasks, answers streams as told, and cancels.
async fn daemon(streams: impl FnMut(&Asked) -> Reply + Send + 'static) -> CannedDaemon {
    CannedDaemon::start(answers(streams)).await
}

fn answers(
    mut streams: impl FnMut(&Asked) -> Reply + Send + 'static,
) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    move |asked| match asked.line.rsplit('/').next().unwrap() {
        "tasks" => reply("202 Accepted", &[], &accepted()),
        "events" => streams(asked),
        "cancel" => reply("200 OK", &[], &json!({"task_id": TASK, "status": "canceled"})),
        _ => panic!("{}", asked.line),
    }
}

fn log() -> Vec<String> {
    vec![started(), token(2, "Grüße"), token(3, " – 🦊\n"), token(4, "bye"), end(5)]
}

/// What a sound daemon streams.
fn sound(asked: &Asked) -> Reply {
    let after = usize::try_from(asked.last_event_id()).unwrap();
    stream([write(&log()[after..].concat())])
}

const ANSWER: &str = "Grüße – 🦊\nbye";

#[tokio::test]
async fn the_answer_is_printed_as_it_is_and_nothing_else() {
    let daemon = daemon(sound).await;
    assert_eq!(orchctl(&daemon, &["run", "hello"]).await.well(), ANSWER);
    let request: Value = serde_json::from_str(&daemon.asked()[0].body).unwrap();
    assert_eq!(request["messages"], json!([{"role": "user", "content": "hello"}]));
    assert_eq!((&request["model_ref"], &request["prompt"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn every_option_reaches_the_daemon() {
    let daemon = daemon(sound).await;
    let args = "run --model m --max-tokens 7 --temperature 0.5 --top-p 0.25 --seed 9 --stop a --stop b \
                --system be-kind --priority batch --deadline-ms 5000 hello";
    let args: Vec<&str> = args.split_whitespace().collect();
    orchctl(&daemon, &args).await.well();
    let request: Value = serde_json::from_str(&daemon.asked()[0].body).unwrap();
    let wanted = json!({
        "messages": [
            {"role": "system", "content": "be-kind"},
            {"role": "user", "content": "hello"},
        ],
        "model_ref": "m", "workload": "completion", "priority": "batch", "max_tokens": 7,
        "deadline_ms": 5000,
        "sampling": {"temperature": 0.5, "top_p": 0.25, "seed": 9, "stop": ["a", "b"]},
        "determinism": "best_effort", "failover": "auto", "cancel_on_disconnect": false,
    });
    assert_eq!(request, wanted);
}

#[tokio::test]
async fn a_dash_reads_the_prompt_from_the_input_less_one_line_end() {
    let daemon = daemon(sound).await;
    orchctl_with_input(&daemon, &["run", "--raw", "-"], "two\nlines\n\n").await.well();
    let request: Value = serde_json::from_str(&daemon.asked()[0].body).unwrap();
    assert_eq!((&request["prompt"], &request["messages"]), (&json!("two\nlines\n"), &Value::Null));
}

#[tokio::test]
async fn a_broken_connection_is_not_noticed_in_the_answer() {
    let bytes = log().concat().into_bytes();
    let cuts = [3, bytes.len() / 2, bytes.len() - 1].map(|cut| bytes[..cut].to_vec());
    for cut in cuts {
        let mut first = Some(broken_stream(&cut));
        let daemon = daemon(move |asked| first.take().unwrap_or_else(|| sound(asked))).await;
        assert_eq!(orchctl(&daemon, &["run", "hello"]).await.well(), ANSWER);
    }
}

#[tokio::test]
async fn a_restart_of_the_daemon_is_not_noticed_in_the_answer() {
    let first =
        daemon(|_| stream([write(&log()[..3].concat()), write("id: 4\neve"), Step::Hold])).await;
    let addr = first.addr;
    let mut child = start(&first.url(), &["run", "hello"]);
    let mut head = vec![0; "Grüße – 🦊\n".len()];
    child.stdout.as_mut().unwrap().read_exact(&mut head).await.unwrap();
    first.kill().await;
    let second = CannedDaemon::start_at(addr, answers(sound)).await;
    let done = wait(child).await;
    assert_eq!(String::from_utf8(head).unwrap() + &done.well(), ANSWER);
    assert_eq!(second.asked()[0].last_event_id(), 3);
}

#[tokio::test]
async fn each_event_is_a_line_of_json_for_programs() {
    let metrics = "event: metrics\ndata: {\"queue_position\":1,\ndata: \"new\":2}\n\n";
    let text = [metrics, &started(), &token(2, "é\n"), &end(3)].concat();
    let daemon = daemon(move |_| stream([write(&text)])).await;
    let out = orchctl(&daemon, &["--json", "run", "hello"]).await.well();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let head = |line: &Value| (line["id"].as_u64(), line["event"].as_str().unwrap().to_owned());
    let heads: Vec<_> = lines.iter().map(head).collect();
    let wanted = [
        (None, "accepted"),
        (None, "metrics"),
        (Some(1), "started"),
        (Some(2), "token"),
        (Some(3), "end"),
    ];
    assert_eq!(heads, wanted.map(|(id, name)| (id, name.to_owned())));
    assert_eq!(lines[0]["data"]["task_id"], TASK);
    assert_eq!(lines[1]["data"], json!({"queue_position": 1, "new": 2}));
    assert_eq!(lines[3]["data"]["t"], "é\n");
}

#[tokio::test]
async fn reasoning_is_not_the_answer() {
    let thought = event(2, "token", &json!({"i": 0, "t": "hm", "n": 1, "channel": "reasoning"}));
    let text = [started(), thought, token(3, "yes"), end(4)].concat();
    let daemon = daemon(move |_| stream([write(&text)])).await;
    assert_eq!(orchctl(&daemon, &["run", "hello"]).await.well(), "yes");
}

#[tokio::test]
async fn a_task_that_fails_leaves_its_text_its_reason_and_status_1() {
    let reset = event(3, "error", &error("WORKER_RESET", true));
    let text = [started(), token(2, "half"), reset].concat();
    let daemon = daemon(move |_| stream([write(&text)])).await;
    let done = orchctl(&daemon, &["run", "hello"]).await;
    assert_eq!((done.code, done.out.as_str()), (Some(1), "half"));
    let wanted = format!(
        "orchctl: task {TASK} failed: said WORKER_RESET\n  code WORKER_RESET, correlation c-1\n"
    );
    assert_eq!(done.err, wanted);
}

#[tokio::test]
async fn a_task_that_somebody_cancels_is_no_success() {
    let text = [started(), end(2).replace("stop", "canceled")].concat();
    let daemon = daemon(move |_| stream([write(&text)])).await;
    let done = orchctl(&daemon, &["run", "hello"]).await;
    assert_eq!((done.code, done.err), (Some(1), format!("orchctl: task {TASK} was canceled\n")));
}

#[tokio::test]
async fn ctrl_c_cancels_the_task_and_ends_with_130() {
    let daemon = daemon(|_| stream([write(&log()[..2].concat()), Step::Hold])).await;
    let mut child = start(&daemon.url(), &["run", "hello"]);
    let mut head = vec![0; "Grüße".len()];
    child.stdout.as_mut().unwrap().read_exact(&mut head).await.unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let done = wait(child).await;
    assert_eq!((done.code, done.err.as_str()), (Some(130), ""));
    let last = daemon.asked().pop().unwrap();
    assert_eq!(last.line, format!("POST /v2/tasks/{TASK}/cancel"));
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_task_quietly() {
    let is_gone = Arc::new(AtomicBool::new(false));
    let has_gone = Arc::clone(&is_gone);
    let daemon = daemon(move |asked| match asked.last_event_id() {
        0 => stream([write(&log()[..3].concat())]),
        _ if has_gone.load(Ordering::Relaxed) => sound(asked),
        _ => stream([]),
    })
    .await;
    let mut child = start(&daemon.url(), &["run", "hello"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "Grüße – 🦊");
    drop(lines);
    is_gone.store(true, Ordering::Relaxed);
    assert_eq!(wait(child).await.well(), "");
    let last = daemon.asked().pop().unwrap();
    assert_eq!(last.line, format!("POST /v2/tasks/{TASK}/cancel"));
}
