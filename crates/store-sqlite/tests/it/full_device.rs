use std::sync::Arc;

use camino::Utf8Path;
use camino_tempfile::tempdir;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use orchestrator::{Journal, JournalError};

use crate::{
    child,
    rows::{admitted, open, queued, spec, task},
};

/// Verifies: ORCH-098
#[tokio::test]
async fn a_full_device_refuses_commits_and_takes_them_once_there_is_room() {
    let Some(dir) = child::dir() else {
        let dir = tempdir().unwrap();
        let test = "full_device::a_full_device_refuses_commits_and_takes_them_once_there_is_room";
        let output = child::limited_command(test, dir.path(), 2000).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}\n{output:?}");
        return;
    };
    let store = open(Utf8Path::new(&dir));
    let mut row = queued(1);
    row.spec = Arc::new(spec(&"x".repeat(100_000)));
    while store.commit(vec![admitted(row.clone())]).await.is_ok() {
        row.sequence += 1;
        row.id = task(row.sequence);
        assert!(row.sequence < 1000, "the limit is not in force");
    }
    let kept = row.sequence - 1;
    assert!(kept > 0);
    for _ in 0..3 {
        let refused = store.commit(vec![admitted(row.clone())]).await;
        assert!(matches!(refused, Err(JournalError::Full)), "{refused:?}");
        // What was kept is still read.
        assert_eq!(store.last_sequence().await.unwrap(), kept);
        assert_eq!(store.task(row.id).await.unwrap(), None);
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    store.probe().await.unwrap();
    store.commit(vec![admitted(row.clone())]).await.unwrap();
    drop(store);
    let live = open(Utf8Path::new(&dir)).live_tasks().await.unwrap();
    assert_eq!(live.len() as u64, kept + 1);
}

/// Verifies: ORCH-098
#[tokio::test]
async fn a_probe_of_a_full_device_says_so() {
    let Some(dir) = child::dir() else {
        let dir = tempdir().unwrap();
        drop(open(dir.path()));
        let output = child::limited_command(
            "full_device::a_probe_of_a_full_device_says_so",
            dir.path(),
            100,
        )
        .output()
        .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}\n{output:?}");
        return;
    };
    let store = open(Utf8Path::new(&dir));
    let mut probes = 0;
    let refused = loop {
        probes += 1;
        assert!(probes < 1000, "the limit is not in force");
        match store.probe().await {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, JournalError::Full), "{refused:?}");
}
