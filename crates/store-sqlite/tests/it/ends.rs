use std::sync::Arc;

use api_types::TaskState;
use camino_tempfile::tempdir;
use orchestrator::{Journal, JournalError, Record};
use tokio::task::JoinSet;

use crate::rows::{admitted, ended, moved, open, queued, task};

#[tokio::test]
async fn a_task_ends_once_and_never_moves_afterwards() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.commit(vec![admitted(queued(1))]).await.unwrap();
    store.commit(vec![ended(1, TaskState::Canceled, false)]).await.unwrap();
    for record in [ended(1, TaskState::Succeeded, true), moved(1, TaskState::Running)] {
        let refused = store.commit(vec![record]).await;
        assert!(
            matches!(refused, Err(JournalError::AlreadyEnded { task: refused }) if refused == task(1)),
            "{refused:?}"
        );
    }
    assert_eq!(store.task(task(1)).await.unwrap().unwrap().state, TaskState::Canceled);
}

#[tokio::test]
async fn of_many_ends_at_once_one_is_kept() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    store.commit(vec![admitted(queued(1))]).await.unwrap();
    let states = [TaskState::Succeeded, TaskState::Failed, TaskState::Canceled, TaskState::Expired];
    let mut ends = JoinSet::new();
    for state in states.into_iter().cycle().take(20) {
        let store = Arc::clone(&store);
        ends.spawn(async move { (state, store.commit(vec![ended(1, state, false)]).await) });
    }
    let outcomes = ends.join_all().await;
    let won: Vec<_> =
        outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(state, _)| *state).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(store.task(task(1)).await.unwrap().unwrap().state, won[0]);
}

#[tokio::test]
async fn a_prompt_is_rendered_once() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.commit(vec![admitted(queued(1))]).await.unwrap();
    let rendered = |ids: &[u32]| Record::Rendered { task: task(1), prompt_ids: ids.into() };
    store.commit(vec![rendered(&[1, 2])]).await.unwrap();
    assert!(store.commit(vec![rendered(&[3])]).await.is_err());
    let row = store.task(task(1)).await.unwrap().unwrap();
    assert_eq!(row.prompt_ids.as_deref(), Some(&[1, 2][..]));
}
