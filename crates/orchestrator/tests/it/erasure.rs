use api_types::{ErrorCode, TaskRequest, TaskState};
use camino::Utf8Path;
use orchestrator::{Options, Refusal, Retention};
use orchestrator_core::TaskId;

use crate::{
    engine::Engine,
    faults::Kind,
    house::{House, keyed, prompt},
    reading::until,
};

/// What must not be found, each part of it in any file.
const SECRET: &str = "My secret is \"gr\u{fc}n\u{1f980}\", said the crab.";
const NEEDLES: [&str; 4] = ["secret", "crab", "gr\u{fc}n", "gr\\u00fcn"];

/// Files in which a text stands.
fn holding(dir: &Utf8Path, text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in dir.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(holding(entry.path(), text));
        } else if std::fs::read(entry.path())
            .unwrap()
            .windows(text.len())
            .any(|window| window == text)
        {
            found.push(entry.path().to_string());
        }
    }
    found
}

fn check_gone(house: &House) {
    for needle in NEEDLES {
        assert_eq!(holding(house.path(), needle.as_bytes()), [""; 0], "{needle}");
    }
    // The prompt as token ids, of which the engine's bytewise vocabulary makes one a byte.
    let ids: Vec<u8> = "secret".bytes().flat_map(|byte| u32::from(byte).to_le_bytes()).collect();
    assert_eq!(holding(house.path(), &ids), [""; 0]);
}

fn secret() -> TaskRequest {
    let mut request = prompt(SECRET);
    request.client_ref = Some("crab-1".to_owned());
    request.metadata.insert("crab".to_owned(), "secret".to_owned());
    request.sampling.stop = vec!["never secret".to_owned()];
    request
}

async fn code(house: &House, task: TaskId) -> ErrorCode {
    let refused = house.orchestrator().subscribe(task, 0).await;
    refused.err().expect("a refusal").body("corr").code
}

/// Verifies: ORCH-069, ORCH-079
#[tokio::test]
async fn nothing_of_an_erased_task_is_left_in_any_file() {
    let mut house = House::with([Engine::new("a")]).await;
    let kept = house.submit(prompt("kept")).await;
    let task = house.try_submit(keyed("k", secret())).await.unwrap().task.id;
    let whole = house.story(task).await;
    assert_eq!(whole.text(), SECRET);
    assert!(!holding(house.path(), b"secret").is_empty(), "the search finds nothing at all");
    let before = house.row(task).await;

    house.orchestrator().erase(task).await.unwrap();
    check_gone(&house);
    for _ in 0..2 {
        let row = house.row(task).await;
        let (end, end_before) = (row.end.unwrap(), before.end.clone().unwrap());
        assert_eq!((row.id, row.state), (task, TaskState::Succeeded));
        assert_eq!((end.tokens_in, end.tokens_out), (end_before.tokens_in, end_before.tokens_out));
        assert_eq!(row.progress, before.progress);
        assert_eq!(code(&house, task).await, ErrorCode::EventsGone);
        // The key stands for it still, and the request is still compared.
        let again = house.try_submit(keyed("k", secret())).await.unwrap();
        assert!(again.is_replay && again.task.id == task);
        let other = house.try_submit(keyed("k", prompt("other"))).await;
        assert!(matches!(other, Err(Refusal::IdempotencyMismatch)));
        house.orchestrator().erase(task).await.unwrap();
        // As `kill -9` right after the answer.
        house.restart().await;
        check_gone(&house);
    }
    assert_eq!(house.story(kept).await.text(), "kept");
}

/// Verifies: ORCH-069
#[tokio::test]
async fn a_live_task_is_not_erased_and_an_unknown_one_is_unknown() {
    let house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt(SECRET)).await;
    let refused = house.orchestrator().erase(task).await.unwrap_err();
    assert_eq!(refused.body("corr").code, ErrorCode::Conflict);
    house.engine(0).open();
    assert_eq!(house.story(task).await.text(), SECRET);
    let refused = house.orchestrator().erase(TaskId(uuid::Uuid::now_v7())).await.unwrap_err();
    assert!(matches!(refused, Refusal::UnknownTask));
}

/// Verifies: ORCH-069
#[tokio::test]
async fn whoever_listens_to_an_erased_task_gets_nothing_more_of_it() {
    let house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt(SECRET)).await;
    // One came while it ran, and has its events in memory; one came after its end.
    let mut early = house.subscribe(task, 0).await;
    house.engine(0).open();
    house.reaches(task, TaskState::Succeeded).await;
    let mut late = house.subscribe(task, 0).await;
    house.orchestrator().erase(task).await.unwrap();
    assert!(early.next().await.is_none());
    assert!(late.next().await.is_none());
}

/// Verifies: ORCH-069
#[tokio::test]
async fn an_erasure_cut_short_by_a_kill_is_finished_by_the_next_start() {
    let retention = Retention { look_every_ms: 5, ..Retention::default() };
    let options = Options { retention, ..Options::default() };
    let mut house = House::with_options([Engine::new("a")], options).await;
    let task = house.submit(secret()).await;
    house.story(task).await;
    house.faults.hold(Kind::EventsFreed);
    tokio::select! {
        _done = house.orchestrator().erase(task) => panic!("it was not cut short"),
        () = until("the erasure is under way", || house.faults.waiting() >= 1) => {}
    }
    house.kill().await;
    house.faults.release();
    house.start().await;
    for _ in 0..10_000 {
        if house.row(task).await.end.unwrap().regions.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(house.row(task).await.end.unwrap().regions.is_empty());
    check_gone(&house);
}
