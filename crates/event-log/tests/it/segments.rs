use std::{fs, os::unix::fs::PermissionsExt};

use camino_tempfile::tempdir;
use event_log::{LogOptions, SegmentLog};
use orchestrator::EventStore;

use crate::log_dir::{ON_DEMAND, events, fill, frame, killed, recover, task};

const SMALL_SEGMENTS: LogOptions = LogOptions { segment_bytes: 500, ..ON_DEMAND };

#[tokio::test]
async fn frames_go_on_in_the_next_segment_and_recover_in_order() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), SMALL_SEGMENTS).unwrap();
    let regions = fill(&log, 5).await;
    let expected: Vec<_> =
        (0..regions.len()).map(|number| format!("event {number}").into_bytes()).collect();
    for (region, events) in regions.iter().zip(&expected) {
        assert_eq!(log.read(task(1), region).unwrap().events, *events);
    }
    // What a kill leaves, and what a shutdown leaves.
    let left = killed(dir.path());
    drop(log);
    for dir in [left.path(), dir.path()] {
        let log = SegmentLog::open(dir, SMALL_SEGMENTS).unwrap();
        assert_eq!(events(&log).unwrap(), expected);
        assert_eq!(log.current_segment(), 5);
        assert_eq!(log.append(&frame(1, 1, b"", b"next")).unwrap().segment, 5);
    }
}

#[tokio::test]
async fn recovery_begins_at_the_segment_it_is_told() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), SMALL_SEGMENTS).unwrap();
    let regions = fill(&log, 4).await;
    let mut found = Vec::new();
    log.recover(3, &mut |_| true, &mut |_, region, _| found.push(region)).unwrap();
    let expected: Vec<_> = regions.into_iter().filter(|region| region.segment >= 3).collect();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
}

/// Verifies: ORCH-097
#[tokio::test]
async fn former_segments_give_their_room_back_but_never_the_current_one() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), SMALL_SEGMENTS).unwrap();
    let regions = fill(&log, 4).await;
    let sizes = log.segments().unwrap();
    assert!(sizes.iter().take(3).all(|segment| segment.len_bytes > 400));
    log.free_segments(3, &|_| false).unwrap();
    log.sync().await.unwrap();
    assert_eq!(log.segments().unwrap()[0].number, 3);
    assert!(log.read(task(1), &regions[0]).is_err());
    // Erasing what is gone is done already.
    log.erase(task(1), &regions[0]).unwrap();
    log.free_segments(99, &|_| false).unwrap();
    log.sync().await.unwrap();
    assert_eq!(log.segments().unwrap()[0].number, 4);
    let left = killed(dir.path());
    drop(log);
    for dir in [left.path(), dir.path()] {
        let log = SegmentLog::open(dir, SMALL_SEGMENTS).unwrap();
        assert!(recover(&log).unwrap().iter().all(|(_, region, _)| region.segment == 4));
    }
}

/// Verifies: ORCH-097
#[tokio::test]
async fn a_segment_between_kept_ones_is_emptied_and_goes_once_it_is_the_oldest() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), SMALL_SEGMENTS).unwrap();
    let regions = fill(&log, 4).await;
    let of = |segment| *regions.iter().find(|region| region.segment == segment).unwrap();
    // Somebody who reads it now is not disturbed, and no room is kept for that afterwards.
    assert!(log.read(task(1), &of(2)).is_ok());
    log.free_segments(99, &|segment| segment == 1).unwrap();
    log.sync().await.unwrap();
    let sizes = log.segments().unwrap();
    assert_eq!((sizes[0].number, sizes[1].number, sizes[1].len_bytes), (1, 2, 24));
    assert!(log.read(task(1), &of(2)).is_err());
    log.erase(task(1), &of(2)).unwrap();
    assert!(log.read(task(1), &of(1)).is_ok());
    let left = killed(dir.path());
    let after_kill = SegmentLog::open(left.path(), SMALL_SEGMENTS).unwrap();
    let found = recover(&after_kill).unwrap();
    assert!(found.iter().all(|(_, region, _)| [1, 4].contains(&region.segment)), "{found:?}");
    log.free_segments(99, &|_| false).unwrap();
    log.sync().await.unwrap();
    assert_eq!(log.segments().unwrap()[0].number, 4);
}

/// Verifies: ORCH-099
#[tokio::test]
async fn all_files_are_private_to_their_owner() {
    let dir = tempdir().unwrap();
    let events = dir.path().join("deep/events");
    let log = SegmentLog::open(&events, SMALL_SEGMENTS).unwrap();
    fill(&log, 3).await;
    drop(log);
    let mode = |path: &camino::Utf8Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&events), 0o700);
    let mut files = 0;
    for entry in events.read_dir_utf8().unwrap() {
        files += 1;
        assert_eq!(mode(entry.unwrap().path()), 0o600);
    }
    assert!(files >= 4, "{files} files");
}
