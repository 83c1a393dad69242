use std::sync::Arc;

use api_types::TaskState;
use camino_tempfile::tempdir;
use orchestrator::{BindingKey, Journal, JournalError};
use tokio::task::JoinSet;

use crate::rows::{bound, ended, key, open, queued, task};

/// Verifies: ORCH-025
#[tokio::test]
async fn of_twenty_commits_with_one_key_exactly_one_wins() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let mut commits = JoinSet::new();
    for sequence in 1..=20 {
        let store = Arc::clone(&store);
        commits.spawn(async move {
            let outcome = store.commit(vec![bound(queued(sequence), "k")]).await;
            match outcome {
                Ok(()) => Some(sequence),
                Err(JournalError::BindingTaken) => None,
                Err(error) => panic!("{error}"),
            }
        });
    }
    let won: Vec<_> = commits.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    let binding = store.binding(key("k")).await.unwrap().unwrap();
    assert_eq!(binding.task, task(won[0]));
    assert_eq!(binding.request_digest, "sha256:aa");
    // The others left nothing behind.
    assert_eq!(store.live_tasks().await.unwrap().len(), 1);
}

/// Verifies: ORCH-025
#[tokio::test]
async fn a_key_holds_for_its_identity_and_route_only() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.commit(vec![bound(queued(1), "k")]).await.unwrap();
    for other in [
        BindingKey { identity: "somebody".into(), ..key("k") },
        BindingKey { route: "/v1/chat/completions", ..key("k") },
        key("K"),
    ] {
        assert_eq!(store.binding(other).await.unwrap(), None);
    }
}

/// Verifies: ORCH-025
#[tokio::test]
async fn an_end_that_frees_the_key_lets_it_stand_for_a_new_task() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.commit(vec![bound(queued(1), "k")]).await.unwrap();
    store.commit(vec![bound(queued(2), "kept")]).await.unwrap();
    store.commit(vec![ended(2, TaskState::Succeeded, false)]).await.unwrap();
    store.commit(vec![ended(1, TaskState::Evicted, true)]).await.unwrap();
    assert_eq!(store.binding(key("k")).await.unwrap(), None);
    assert_eq!(store.binding(key("kept")).await.unwrap().unwrap().task, task(2));

    store.commit(vec![bound(queued(3), "k")]).await.unwrap();
    assert_eq!(store.binding(key("k")).await.unwrap().unwrap().task, task(3));
    let refused = store.commit(vec![bound(queued(4), "kept")]).await;
    assert!(matches!(refused, Err(JournalError::BindingTaken)), "{refused:?}");
}
