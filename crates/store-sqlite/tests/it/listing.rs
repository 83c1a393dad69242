use std::sync::Arc;

use api_types::TaskState;
use camino::Utf8Path;
use camino_tempfile::{Utf8TempDir, tempdir};
use orchestrator::{Journal, TaskFilter};
use store_sqlite::SqliteStore;

use crate::rows::{admitted, ended, moved, open, queued};

const TASKS: u64 = 10_000;

/// Ten thousand tasks: identities, models and references in turns; of each hundred the first 90 have
/// ended, every third of them as failed, and one runs.
async fn many(dir: &Utf8Path) -> SqliteStore {
    let store = open(dir);
    for hundred in 0..TASKS / 100 {
        let mut records = Vec::new();
        for at in 1..=100 {
            let sequence = hundred * 100 + at;
            let mut row = queued(sequence);
            row.identity = ["ann", "bob"][usize::from(sequence % 2 == 0)].into();
            let spec = Arc::make_mut(&mut row.spec);
            spec.model_ref = format!("model-{}", sequence % 5);
            spec.client_ref = (sequence % 1000 == 0).then(|| format!("order-{}", sequence % 3));
            records.push(admitted(row));
            match at {
                91 => records.push(moved(sequence, TaskState::Running)),
                at if at > 91 => {}
                at if at % 3 == 0 => records.push(ended(sequence, TaskState::Failed, false)),
                _ => records.push(ended(sequence, TaskState::Succeeded, false)),
            }
        }
        store.commit(records).await.unwrap();
    }
    store
}

/// Pages through a list, and checks it against the sequences that it should hold.
async fn check(store: &SqliteStore, filter: TaskFilter, expected: impl Fn(u64) -> bool) {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = store.tasks(filter.clone(), before, 700).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.sequence);
        found.extend(page.iter().map(|row| row.sequence));
    }
    let expected: Vec<_> = (1..=TASKS).rev().filter(|sequence| expected(*sequence)).collect();
    assert!(found == expected, "{filter:?}: {} instead of {}", found.len(), expected.len());
}

/// Verifies: ORCH-063
#[tokio::test]
async fn lists_are_newest_first_filtered_and_paged() {
    let dir: Utf8TempDir = tempdir().unwrap();
    let store = many(dir.path()).await;
    let text = |text: &str| Some(text.to_owned());
    let all = TaskFilter::default;
    let at = |sequence: u64| (sequence - 1) % 100 + 1;
    check(&store, all(), |_| true).await;
    check(&store, TaskFilter { identity: text("ann"), ..all() }, |s| s % 2 == 1).await;
    check(&store, TaskFilter { model_ref: text("model-3"), ..all() }, |s| s % 5 == 3).await;
    check(&store, TaskFilter { client_ref: text("order-1"), ..all() }, |s| {
        s % 1000 == 0 && s % 3 == 1
    })
    .await;
    check(&store, TaskFilter { state: text("queued"), ..all() }, |s| at(s) > 91).await;
    check(&store, TaskFilter { state: text("running"), ..all() }, |s| at(s) == 91).await;
    check(&store, TaskFilter { state: text("failed"), ..all() }, |s| at(s) < 91 && at(s) % 3 == 0)
        .await;
    check(&store, TaskFilter { state: text("canceled"), ..all() }, |_| false).await;
    check(&store, TaskFilter { state: text("no such state"), ..all() }, |_| false).await;
    let filter = TaskFilter {
        identity: text("bob"),
        state: text("succeeded"),
        model_ref: text("model-0"),
        client_ref: None,
    };
    check(&store, filter, |s| s % 10 == 0 && at(s) < 91 && at(s) % 3 != 0).await;
}

/// Verifies: ORCH-092
#[tokio::test]
async fn live_tasks_are_found_again_in_the_order_of_their_admission() {
    let dir = tempdir().unwrap();
    drop(many(dir.path()).await);
    let store = open(dir.path());
    let found: Vec<_> =
        store.live_tasks().await.unwrap().into_iter().map(|row| row.sequence).collect();
    let expected: Vec<_> = (1..=TASKS).filter(|sequence| (sequence - 1) % 100 >= 90).collect();
    assert_eq!(found, expected);
    assert_eq!(store.last_sequence().await.unwrap(), TASKS);
}
