use std::sync::Arc;

use api_types::{MessageRequest, TaskState};
use camino_tempfile::tempdir;
use orchestrator::{Journal, JournalError, Record};
use tokio::task::JoinSet;

use crate::rows::{admitted, end, ended, moved, open, progress, queued, spec, task};

#[tokio::test]
async fn a_task_reads_back_as_it_was_admitted_and_moved_and_ended() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut row = queued(1);
    store.commit(vec![admitted(row.clone())]).await.unwrap();
    assert_eq!(store.task(row.id).await.unwrap(), Some(row.clone()));

    let prompt_ids: Arc<[u32]> = [1, 4093, 198, u32::MAX].into();
    let rendered = Record::Rendered { task: row.id, prompt_ids: Arc::clone(&prompt_ids) };
    store.commit(vec![rendered, moved(1, TaskState::Running)]).await.unwrap();
    row.prompt_ids = Some(prompt_ids);
    row.state = TaskState::Running;
    row.progress = progress();
    assert_eq!(store.task(row.id).await.unwrap(), Some(row.clone()));
    assert_eq!(store.live_tasks().await.unwrap(), std::slice::from_ref(&row));

    store.commit(vec![ended(1, TaskState::Succeeded, false)]).await.unwrap();
    row.state = TaskState::Succeeded;
    row.end = Some(end());
    assert_eq!(store.task(row.id).await.unwrap(), Some(row.clone()));
    assert_eq!(store.live_tasks().await.unwrap(), []);
    drop(store);
    assert_eq!(open(dir.path()).task(row.id).await.unwrap(), Some(row));
}

#[tokio::test]
async fn texts_of_all_scripts_and_sizes_survive() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let large = "Ünïcödé 漢字 👩‍👩‍👧 \u{0}\u{7f}\"\\ ".repeat(1 << 16);
    assert!(large.len() > 2 << 20);
    let mut spec = spec(&large);
    spec.client_ref = Some("🦀/1".to_owned());
    spec.metadata.insert("ключ".to_owned(), "значение\u{0}".to_owned());
    let message = MessageRequest::text("user", large.clone());
    spec.messages = Some(vec![message]);
    let mut row = queued(1);
    row.identity = "café".into();
    row.spec = Arc::new(spec);
    row.prompt_ids = Some((0..200_000).collect());
    store.commit(vec![admitted(row.clone())]).await.unwrap();
    assert!(store.task(row.id).await.unwrap() == Some(row));
}

#[tokio::test]
async fn a_commit_is_kept_whole_or_not_at_all() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let note = Record::Note { name: "boot", value: "1".to_owned() };
    let refused =
        store.commit(vec![note, admitted(queued(1)), moved(99, TaskState::Running)]).await;
    assert!(matches!(refused, Err(JournalError::Failed { .. })), "{refused:?}");
    assert_eq!(store.task(task(1)).await.unwrap(), None);
    assert_eq!(store.note("boot").await.unwrap(), None);
    assert_eq!(store.last_sequence().await.unwrap(), 0);
    // The store itself is fine.
    store.commit(vec![admitted(queued(1))]).await.unwrap();
}

#[tokio::test]
async fn a_refused_commit_leaves_the_others_of_its_group_alone() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    store.commit(vec![admitted(queued(1)), ended(1, TaskState::Canceled, false)]).await.unwrap();
    let mut commits = JoinSet::new();
    for sequence in 2..=101 {
        let store = Arc::clone(&store);
        commits.spawn(async move {
            let mut records = vec![admitted(queued(sequence))];
            if sequence % 2 == 0 {
                records.push(moved(1, TaskState::Running));
            }
            (sequence, store.commit(records).await)
        });
    }
    for (sequence, outcome) in commits.join_all().await {
        let expected = sequence % 2 == 1;
        assert_eq!(outcome.is_ok(), expected, "{sequence}: {outcome:?}");
        let found = store.task(task(sequence)).await.unwrap();
        assert_eq!(found.is_some(), expected, "{sequence}");
    }
}

#[tokio::test]
async fn commits_that_arrive_together_share_transactions() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let mut commits = JoinSet::new();
    for sequence in 1..=500 {
        let store = Arc::clone(&store);
        commits.spawn(async move { store.commit(vec![admitted(queued(sequence))]).await });
    }
    for outcome in commits.join_all().await {
        outcome.unwrap();
    }
    let stats = store.commit_stats();
    assert_eq!(stats.commits, 500);
    assert!(stats.transactions <= 50, "{stats:?}");
}

#[tokio::test]
async fn notes_are_kept_and_replaced() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.note("boot").await.unwrap(), None);
    for value in ["first", "second"] {
        let note = Record::Note { name: "boot", value: value.to_owned() };
        store.commit(vec![note]).await.unwrap();
        assert_eq!(store.note("boot").await.unwrap().as_deref(), Some(value));
    }
}

#[tokio::test]
async fn a_probe_leaves_no_trace() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.probe().await.unwrap();
    store.probe().await.unwrap();
    assert_eq!(store.note("").await.unwrap(), None);
    assert_eq!(store.last_sequence().await.unwrap(), 0);
    assert!(store.size_bytes().unwrap() > 4096);
}

#[tokio::test]
async fn a_commit_whose_caller_went_away_is_kept() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    {
        let mut commit = std::pin::pin!(store.commit(vec![admitted(queued(1))]));
        // Polled once, so that it is handed over, and dropped.
        std::future::poll_fn(|context| {
            assert!(commit.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    drop(store);
    assert!(open(dir.path()).task(task(1)).await.unwrap().is_some());
}
