use std::fs;

use camino::Utf8Path;
use camino_tempfile::tempdir;
use event_log::SegmentLog;
use orchestrator::{EventStore, EventStoreError};

use crate::log_dir::{ON_DEMAND, events, frame, killed, segment, task};

fn holds(dir: &Utf8Path, needle: &[u8]) -> bool {
    let bytes = fs::read(segment(dir, 1)).unwrap();
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Verifies: ORCH-069
#[tokio::test]
async fn an_erased_frame_leaves_no_byte_of_its_content() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.append(&frame(1, 1, b"kept ids", b"kept events")).unwrap();
    let secret = log.append(&frame(2, 1, b"secret ids", b"secret events")).unwrap();
    log.append(&frame(1, 2, b"more ids", b"more events")).unwrap();
    assert!(holds(dir.path(), b"secret"));

    log.erase(task(2), &secret).unwrap();
    log.sync().await.unwrap();
    assert!(!holds(dir.path(), b"secret"));
    // Nor its checksum, from which a short content could be guessed.
    let bytes = fs::read(segment(dir.path(), 1)).unwrap();
    let from = usize::try_from(secret.offset).unwrap();
    assert!(bytes[from + 48..from + secret.len_bytes as usize].iter().all(|byte| *byte == 0));

    let read = log.read(task(2), &secret);
    assert!(matches!(read, Err(EventStoreError::Damaged { .. })), "{read:?}");
    drop(log);
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    assert_eq!(events(&log).unwrap(), [b"kept events".to_vec(), b"more events".to_vec()]);
}

/// Verifies: ORCH-069
#[tokio::test]
async fn an_erasure_cut_short_by_a_kill_is_finished_by_asking_again() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.sync().await.unwrap();
    let secret = log.append(&frame(2, 1, b"secret ids", b"secret events")).unwrap();
    log.append(&frame(1, 1, b"more ids", b"more events")).unwrap();
    log.erase(task(2), &secret).unwrap();
    let left = killed(dir.path());
    assert!(holds(left.path(), b"secret"));

    let log = SegmentLog::open(left.path(), ON_DEMAND).unwrap();
    assert_eq!(events(&log).unwrap(), [b"more events".to_vec()]);
    log.erase(task(2), &secret).unwrap();
    log.sync().await.unwrap();
    assert!(!holds(left.path(), b"secret"));
}

#[test]
fn a_frame_of_another_task_is_not_erased() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    let region = log.append(&frame(1, 1, b"ids", b"events")).unwrap();
    let refused = log.erase(task(2), &region);
    assert!(matches!(refused, Err(EventStoreError::Damaged { .. })), "{refused:?}");
    assert_eq!(log.read(task(1), &region).unwrap().events, &b"events"[..]);
}
