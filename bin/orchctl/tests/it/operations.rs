use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    canned_daemon::{CannedDaemon, json as reply},
    program::{orchctl, start, wait},
    wire::{error, operation},
};

const FIRST: &str = "0190b6a4-1c2d-7e3f-8a4b-000000000001";
const SECOND: &str = "0190b6a4-1c2d-7e3f-8a4b-000000000002";

fn known(id: &str, state: &str) -> Value {
    let mut view = operation(state, 5);
    view["operation_id"] = json!(id);
    if state == "failed" {
        view["error"] = error("MODEL_NOT_AVAILABLE", true);
    }
    view
}

/// A daemon with two operations on a page each, the second of which is shown as these documents in turn.
async fn daemon(looks: Vec<Value>) -> CannedDaemon {
    let mut looks = looks.into_iter();
    CannedDaemon::start(move |asked| {
        let page = |item: Value, next: Value| json!({"items": [item], "next_cursor": next});
        let answer = match asked.line.as_str() {
            "GET /v2/operations" => page(known(SECOND, "running"), json!("2")),
            "GET /v2/operations?cursor=2" => page(known(FIRST, "failed"), Value::Null),
            line if line == format!("DELETE /v2/operations/{SECOND}") => known(SECOND, "canceled"),
            line if line == format!("GET /v2/operations/{SECOND}") => looks.next().unwrap(),
            other => panic!("{other}"),
        };
        reply("200 OK", &[], &answer)
    })
    .await
}

#[tokio::test]
async fn operations_are_listed_over_all_pages_up_to_the_limit() {
    let daemon = daemon(Vec::new()).await;
    let out = orchctl(&daemon, &["operations", "ls"]).await.well();
    let wanted = format!(
        "\
OPERATION                             KIND         STATE    PROGRESS               TARGET            CREATED
{SECOND}  model_fetch  running  fetching, 5 B of 10 B  https://x/m.gguf  2026-01-01T00:00:00Z
{FIRST}  model_fetch  failed   MODEL_NOT_AVAILABLE    https://x/m.gguf  2026-01-01T00:00:00Z
"
    );
    assert_eq!(out, wanted);
    let out = orchctl(&daemon, &["operations", "ls", "--json", "--limit", "1"]).await.well();
    let listed: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((listed.len(), listed[0]["operation_id"].as_str()), (1, Some(SECOND)));
}

#[tokio::test]
async fn an_operation_is_shown_and_canceled_by_the_end_of_its_id() {
    let mut ended = known(SECOND, "failed");
    ended["target"] = json!("file:/evil\u{1b}[2J");
    let daemon = daemon(vec![ended]).await;
    let wanted = format!(
        "\
operation    {SECOND}
kind         model_fetch
target       file:/evil\u{fffd}[2J
state        failed
created      2026-01-01T00:00:00Z
ended        2026-01-01T00:00:09Z
error        said MODEL_NOT_AVAILABLE (MODEL_NOT_AVAILABLE; may succeed later)
correlation  c-1
"
    );
    assert_eq!(orchctl(&daemon, &["operations", "show", "0002"]).await.well(), wanted);
    let canceled = orchctl(&daemon, &["operations", "cancel", SECOND]).await.well();
    assert_eq!(canceled, format!("{SECOND} canceled\n"));

    let many = orchctl(&daemon, &["operations", "show", "0190"]).await;
    assert_eq!(many.code, Some(2));
    assert!(many.err.contains(FIRST) && many.err.contains(SECOND), "{}", many.err);
    let none = orchctl(&daemon, &["operations", "cancel", "beef"]).await;
    assert_eq!(none.code, Some(2));
    assert!(none.err.contains("no operation begins or ends with `beef`"), "{}", none.err);
}

#[tokio::test]
async fn waiting_shows_progress_and_ends_as_the_operation_does() {
    let mut succeeded = known(SECOND, "succeeded");
    succeeded["result"] = json!({"model_id": "sha256:00"});
    let looks = vec![known(SECOND, "running"), known(SECOND, "running"), succeeded];
    let done = orchctl(&daemon(looks).await, &["operations", "wait", SECOND]).await;
    let progress = format!("operation {SECOND}: fetching, 5 B of 10 B\n");
    assert_eq!((done.code, done.err), (Some(0), progress));
    assert!(done.out.contains("result       {\"model_id\":\"sha256:00\"}\n"), "{}", done.out);

    for (state, told) in
        [("failed", "failed: said MODEL_NOT_AVAILABLE"), ("canceled", "was canceled")]
    {
        let daemon = daemon(vec![known(SECOND, state)]).await;
        let done = orchctl(&daemon, &["operations", "wait", SECOND]).await;
        assert_eq!(done.code, Some(1));
        assert!(done.err.contains(&format!("operation {SECOND} {told}")), "{}", done.err);
        assert!(done.out.contains(&format!("state        {state}\n")), "{}", done.out);
    }
}

#[tokio::test]
async fn ctrl_c_stops_the_waiting_and_not_the_operation() {
    let daemon = daemon(vec![known(SECOND, "running"); 1000]).await;
    let mut child = start(&daemon.url(), &["operations", "wait", SECOND]);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    errors.next_line().await.unwrap().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let last = errors.next_line().await.unwrap().unwrap();
    assert_eq!(last, format!("orchctl: left; the daemon may go on with operation {SECOND}"));
    assert_eq!(wait(child).await.code, Some(130));
    assert!(daemon.asked().iter().all(|asked| asked.line.starts_with("GET ")));
}
