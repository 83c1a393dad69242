use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
};

use crate::{
    canned_daemon::{Asked, CannedDaemon, Reply, Step, json as reply, stream, write},
    program::{orchctl_with_input, start, wait},
    wire::{TASK, accepted, end, error, event, started, token},
};

/// A daemon that takes tasks and cancels them; each stream is answered by what stands in the list.
async fn daemon<const N: usize>(streams: [Reply; N]) -> CannedDaemon {
    CannedDaemon::start(answers(streams)).await
}

fn answers<const N: usize>(streams: [Reply; N]) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut streams = streams.into_iter();
    move |asked| match asked.line.rsplit('/').next().unwrap() {
        "tasks" => reply("202 Accepted", &[], &accepted()),
        "events" => streams.next().unwrap(),
        "cancel" => reply("200 OK", &[], &json!({"task_id": TASK, "status": "canceled"})),
        _ => panic!("{}", asked.line),
    }
}

fn answer(text: &str) -> Reply {
    stream([write(&[started(), token(2, text), end(3)].concat())])
}

/// What the models were told and asked, turn by turn.
fn turns(daemon: &CannedDaemon) -> Vec<Value> {
    let asked = daemon.asked().into_iter().filter(|asked| asked.line == "POST /v2/tasks");
    asked.map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
}

fn said(words: &[&str]) -> Value {
    let roles = ["user", "assistant"].into_iter().cycle();
    words.iter().zip(roles).map(|(text, role)| json!({"role": role, "content": text})).collect()
}

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
}

async fn read(child: &mut Child, text: &str) {
    let mut bytes = vec![0; text.len()];
    child.stdout.as_mut().unwrap().read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
}

async fn type_in(child: &mut Child, text: &str) {
    child.stdin.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn each_line_is_a_turn_and_the_model_is_told_what_was_said_before() {
    let daemon = daemon(["Hello – 🦊", "Two\n", "Bye"].map(answer)).await;
    let done = orchctl_with_input(&daemon, &["chat", "--model", "m"], "hi\n\n1+1?\r\n /bye").await;
    assert_eq!(done.well(), "Hello – 🦊\nTwo\nBye\n");
    let turns = turns(&daemon);
    assert_eq!(turns[0]["messages"], said(&["hi"]));
    assert_eq!(turns[1]["messages"], said(&["hi", "Hello – 🦊", "1+1?"]));
    assert_eq!(turns[2]["messages"], said(&["hi", "Hello – 🦊", "1+1?", "Two\n", "/bye"]));
    assert_eq!((turns.len(), &turns[2]["model_ref"]), (3, &json!("m")));
}

#[tokio::test]
async fn commands_change_the_conversation_and_are_not_said() {
    let daemon = daemon(["a", "b"].map(answer)).await;
    let input = "one\n/model\n/model big\n/new\n/dance now\n/help\ntwo\n/quit\nthree\n";
    let done = orchctl_with_input(&daemon, &["chat"], input).await;
    assert_eq!((done.code, done.out.as_str()), (Some(0), "a\nb\n"), "{}", done.err);
    let turns = turns(&daemon);
    let models: Vec<&Value> = turns.iter().map(|turn| &turn["model_ref"]).collect();
    assert_eq!(models, [&Value::Null, &json!("big")]);
    assert_eq!(turns[1]["messages"], said(&["two"]));
    for note in
        ["the daemon's default model", "asking big", "a new", "no /dance now", "/model NAME"]
    {
        assert!(done.err.contains(note), "{note}: {}", done.err);
    }
}

#[tokio::test]
async fn ctrl_c_cancels_the_answer_on_the_daemon_and_the_conversation_goes_on() {
    let half = stream([write(&[started(), token(2, "ha")].concat()), Step::Hold]);
    let daemon = daemon([half, answer("lf")]).await;
    let mut child = start(&daemon.url(), &["chat"]);
    type_in(&mut child, "say it\n").await;
    read(&mut child, "ha").await;
    interrupt(&child);
    read(&mut child, "\n").await;
    let last = daemon.asked().pop().unwrap();
    assert_eq!(last.line, format!("POST /v2/tasks/{TASK}/cancel"));

    type_in(&mut child, "go on\n").await;
    read(&mut child, "lf\n").await;
    assert_eq!(turns(&daemon)[1]["messages"], said(&["say it", "ha", "go on"]));
    type_in(&mut child, "/quit\n").await;
    let done = wait(child).await;
    assert_eq!((done.code, done.err.as_str()), (Some(0), "stopped\n"));
}

#[tokio::test]
async fn ctrl_c_twice_leaves() {
    let daemon = CannedDaemon::start(|asked| match asked.line.rsplit('/').next().unwrap() {
        "tasks" => reply("202 Accepted", &[], &accepted()),
        "events" => stream([write(&[started(), token(2, "ha")].concat()), Step::Hold]),
        _ => vec![Step::Hold],
    })
    .await;
    let mut child = start(&daemon.url(), &["chat"]);
    type_in(&mut child, "say it\n").await;
    read(&mut child, "ha").await;
    interrupt(&child);
    while !daemon.asked().last().unwrap().line.ends_with("/cancel") {
        tokio::task::yield_now().await;
    }
    interrupt(&child);
    assert_eq!(wait(child).await.code, Some(130));
}

#[tokio::test]
async fn ctrl_c_while_nothing_is_asked_leaves() {
    let daemon = daemon([answer("a")]).await;
    let mut child = start(&daemon.url(), &["chat"]);
    type_in(&mut child, "one\n").await;
    read(&mut child, "a\n").await;
    // Its end would be a reason to leave too.
    let input = child.stdin.take();
    interrupt(&child);
    let done = wait(child).await;
    drop(input);
    assert_eq!((done.code, done.err.as_str()), (Some(130), ""));
    assert!(daemon.asked().iter().all(|asked| !asked.line.ends_with("/cancel")));
}

#[tokio::test]
async fn a_restart_of_the_daemon_is_not_noticed_in_a_conversation() {
    let cut = stream([write(&[started(), token(2, "on")].concat()), write("id: 3\n"), Step::Hold]);
    let first = daemon([cut]).await;
    let addr = first.addr;
    let mut child = start(&first.url(), &["chat"]);
    type_in(&mut child, "count\n").await;
    read(&mut child, "on").await;
    first.kill().await;
    let rest = stream([write(&[token(3, "e"), end(4)].concat())]);
    let second = CannedDaemon::start_at(addr, answers([rest, answer("two")])).await;
    read(&mut child, "e\n").await;
    assert_eq!(second.asked()[0].last_event_id(), 2);
    type_in(&mut child, "more\n").await;
    read(&mut child, "two\n").await;
    assert_eq!(turns(&second)[0]["messages"], said(&["count", "one", "more"]));
    assert_eq!(wait(child).await.well(), "");
}

#[tokio::test]
async fn a_turn_that_fails_ends_a_conversation_that_comes_out_of_a_pipe() {
    let reset = event(3, "error", &error("WORKER_RESET", true));
    let half = stream([write(&[started(), token(2, "half"), reset].concat())]);
    let daemon = daemon([half]).await;
    let done = orchctl_with_input(&daemon, &["chat"], "one\ntwo\n").await;
    assert_eq!((done.code, done.out.as_str()), (Some(1), "half\n"));
    let wanted = format!(
        "orchctl: task {TASK} failed: said WORKER_RESET\n  code WORKER_RESET, correlation c-1\n"
    );
    assert_eq!(done.err, wanted);
    assert_eq!(turns(&daemon).len(), 1);
}

#[tokio::test]
async fn a_conversation_for_programs_is_lines_of_json() {
    let daemon = daemon(["a", "b"].map(answer)).await;
    let out = orchctl_with_input(&daemon, &["chat", "--json"], "one\ntwo\n").await.well();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let turn = ["accepted", "started", "token", "end"];
    assert_eq!(names, [turn, turn].concat());
}
