use std::sync::Arc;

use camino_tempfile::tempdir;
use event_log::{LogOptions, SegmentLog};
use orchestrator::EventStore;
use tokio::task::JoinSet;

use crate::log_dir::{ON_DEMAND, frame, killed, segment};

/// Verifies: ORCH-093
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_covers_what_was_appended_before_it() {
    let dir = tempdir().unwrap();
    let log = Arc::new(SegmentLog::open(dir.path(), ON_DEMAND).unwrap());
    let mut waiting = JoinSet::new();
    for number in 0..200_u128 {
        let log = Arc::clone(&log);
        waiting.spawn(async move {
            let region = log.append(&frame(number, 1, b"", b"event")).unwrap();
            log.sync().await.unwrap();
            region
        });
    }
    let regions = waiting.join_all().await;
    // The side file vouches for all of them: without the last one, the log does not open.
    let left = killed(dir.path());
    let last = regions.iter().max_by_key(|region| region.offset).unwrap();
    let file = std::fs::File::options().write(true).open(segment(left.path(), 1)).unwrap();
    file.set_len(last.offset).unwrap();
    assert!(SegmentLog::open(left.path(), ON_DEMAND).is_err());
}

#[tokio::test]
async fn a_sync_without_a_change_returns() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.sync().await.unwrap();
    log.append(&frame(1, 1, b"", b"event")).unwrap();
    for _ in 0..3 {
        log.sync().await.unwrap();
    }
}

/// Verifies: ORCH-093
#[tokio::test]
async fn frames_reach_the_device_without_being_asked() {
    let dir = tempdir().unwrap();
    let options = LogOptions { sync_every_ms: 1, ..LogOptions::default() };
    let log = SegmentLog::open(dir.path(), options).unwrap();
    let region = log.append(&frame(1, 1, b"", b"event")).unwrap();
    loop {
        let left = killed(dir.path());
        let file = std::fs::File::options().write(true).open(segment(left.path(), 1)).unwrap();
        file.set_len(region.offset).unwrap();
        // Refused as soon as the side file vouches for the frame.
        if SegmentLog::open(left.path(), ON_DEMAND).is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
}
