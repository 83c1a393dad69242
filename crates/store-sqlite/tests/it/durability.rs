use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::Stdio,
    sync::Arc,
};

use camino::Utf8Path;
use camino_tempfile::tempdir;
use orchestrator::Journal;
use tokio::task::JoinSet;

use crate::{
    child,
    rows::{admitted, open, queued},
};

/// Commits at the store without end, and says what was acknowledged.
async fn commit_until_killed(dir: &Utf8Path) {
    let store = Arc::new(open(dir));
    let first = store.last_sequence().await.unwrap() + 1;
    let mut commits = JoinSet::new();
    for sequence in first.. {
        if commits.len() >= 16 {
            commits.join_next().await.unwrap().unwrap();
        }
        let store = Arc::clone(&store);
        commits.spawn(async move {
            store.commit(vec![admitted(queued(sequence))]).await.unwrap();
            let mut stdout = std::io::stdout().lock();
            writeln!(stdout, "acknowledged {sequence}").unwrap();
            stdout.flush().unwrap();
        });
    }
}

/// Verifies: ORCH-091, ORCH-092
#[tokio::test]
async fn every_acknowledged_task_survives_a_kill_at_any_moment() {
    if let Some(dir) = child::dir() {
        return commit_until_killed(Utf8Path::new(&dir)).await;
    }
    let dir = tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for acknowledgements in [1, 2, 3, 5, 17, 60, 200, 401] {
        let mut child = child::command(
            "durability::every_acknowledged_task_survives_a_kill_at_any_moment",
            dir.path(),
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while let Some(line) = lines.next().transpose().unwrap() {
            if let Some((_, sequence)) = line.split_once("acknowledged ") {
                acknowledged.insert(sequence.parse::<u64>().unwrap());
                seen += 1;
            }
            if seen == acknowledgements {
                child.kill().unwrap();
            }
        }
        assert!(seen >= acknowledgements, "the child ended by itself");
        child.wait().unwrap();

        let store = open(dir.path());
        let live = store.live_tasks().await.unwrap();
        assert!(live.is_sorted_by_key(|row| row.sequence));
        let found: BTreeSet<_> = live.iter().map(|row| row.sequence).collect();
        assert_eq!(found.len(), live.len());
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "lost {lost:?}");
        assert!(store.last_sequence().await.unwrap() >= *acknowledged.last().unwrap());
    }
}
