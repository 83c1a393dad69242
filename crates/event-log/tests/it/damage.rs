use std::fs;

use camino::Utf8Path;
use camino_tempfile::tempdir;
use event_log::{LogOptions, SegmentLog};
use orchestrator::{EventStore, EventStoreError};

use crate::log_dir::{ON_DEMAND, events, fill, flip, frame, killed, recover, segment};

const ACCEPT_LOSS: LogOptions = LogOptions { accept_loss: true, ..ON_DEMAND };
const SMALL_SEGMENTS: LogOptions = LogOptions { segment_bytes: 500, ..ON_DEMAND };

fn refusal(dir: &Utf8Path) -> EventStoreError {
    match SegmentLog::open(dir, ON_DEMAND) {
        Err(error) => error,
        Ok(log) => recover(&log).expect_err("the log should not be usable"),
    }
}

/// Verifies: ORCH-096
#[test]
fn a_tail_torn_at_any_byte_is_cut_and_counted() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.append(&frame(1, 1, b"one", b"first")).unwrap();
    log.append(&frame(2, 1, b"two", b"second")).unwrap();
    let last = log.append(&frame(1, 2, b"three", b"third")).unwrap();
    let left = killed(dir.path());
    let path = segment(left.path(), 1);
    let whole = fs::read(&path).unwrap();
    let from = usize::try_from(last.offset).unwrap();
    assert_eq!(whole.len(), from + last.len_bytes as usize);

    for len in from..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let log = SegmentLog::open(left.path(), ON_DEMAND).unwrap();
        assert_eq!(log.torn_tails(), u64::from(len > from), "cut at {len}");
        assert_eq!(events(&log).unwrap(), [b"first".to_vec(), b"second".to_vec()]);
        // The place of the torn record is used again, and nothing of it shows through.
        assert_eq!(log.append(&frame(1, 2, b"three", b"third")).unwrap(), last);
        assert_eq!(events(&log).unwrap().len(), 3);
        drop(log);
        // As before the drop, which noted the end.
        fs::copy(dir.path().join("synced"), left.path().join("synced")).unwrap();
    }
}

/// Verifies: ORCH-096
#[test]
fn a_tail_with_any_flipped_bit_or_zeros_behind_it_is_cut() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.append(&frame(1, 1, b"one", b"first")).unwrap();
    let last = log.append(&frame(1, 2, b"three", b"third")).unwrap();
    for at in 0..u64::from(last.len_bytes) {
        let left = killed(dir.path());
        flip(&segment(left.path(), 1), last.offset + at);
        let log = SegmentLog::open(left.path(), ON_DEMAND).unwrap();
        // Three bytes of a header mean nothing.
        let expected = if (45..48).contains(&at) { 2 } else { 1 };
        assert_eq!(events(&log).unwrap().len(), expected, "bit in byte {at}");
    }
    let left = killed(dir.path());
    let mut bytes = fs::read(segment(left.path(), 1)).unwrap();
    bytes.resize(bytes.len() + 10_000, 0);
    fs::write(segment(left.path(), 1), bytes).unwrap();
    let log = SegmentLog::open(left.path(), ON_DEMAND).unwrap();
    assert_eq!((events(&log).unwrap().len(), log.torn_tails()), (2, 1));
}

/// Verifies: ORCH-096
#[test]
fn damage_before_the_tail_stops_the_start_unless_loss_is_accepted() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.append(&frame(1, 1, b"one", b"first")).unwrap();
    let middle = log.append(&frame(1, 2, b"two", b"second")).unwrap();
    log.append(&frame(1, 3, b"three", b"third")).unwrap();
    for at in (0..u64::from(middle.len_bytes)).filter(|at| !(45..48).contains(at)) {
        let left = killed(dir.path());
        flip(&segment(left.path(), 1), middle.offset + at);
        let refused = refusal(left.path());
        assert!(matches!(refused, EventStoreError::Damaged { .. }), "byte {at}: {refused:?}");

        let expected = [b"first".to_vec(), b"third".to_vec()];
        assert_eq!(events(&SegmentLog::open(left.path(), ACCEPT_LOSS).unwrap()).unwrap(), expected);
        // Once accepted, the damage is gone, and the damaged bytes are.
        assert_eq!(events(&SegmentLog::open(left.path(), ON_DEMAND).unwrap()).unwrap(), expected);
        let bytes = fs::read(segment(left.path(), 1)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"second"));
    }
}

/// Verifies: ORCH-096
#[tokio::test]
async fn damage_in_a_former_segment_stops_recovery_unless_loss_is_accepted() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), SMALL_SEGMENTS).unwrap();
    let regions = fill(&log, 3).await;
    drop(log);
    let last_of_first = regions.iter().rfind(|region| region.segment == 1).unwrap();
    // In the middle of a segment, in its last record, and in its header.
    for at in [regions[0].offset + 60, last_of_first.offset + 60, 3] {
        let left = killed(dir.path());
        flip(&segment(left.path(), 1), at);
        let refused = refusal(left.path());
        assert!(matches!(refused, EventStoreError::Damaged { .. }), "at {at}: {refused:?}");
        let expected = regions.len() - usize::from(at != 3);
        for options in [ACCEPT_LOSS, ON_DEMAND] {
            let log = SegmentLog::open(left.path(), options).unwrap();
            assert_eq!(events(&log).unwrap().len(), expected, "at {at}");
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_damage() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), SMALL_SEGMENTS).unwrap();
    fill(&log, 3).await;
    drop(log);
    fs::remove_file(segment(dir.path(), 2)).unwrap();
    let refused = refusal(dir.path());
    assert!(matches!(refused, EventStoreError::Damaged { .. }), "{refused:?}");
    assert!(!events(&SegmentLog::open(dir.path(), ACCEPT_LOSS).unwrap()).unwrap().is_empty());
}

/// Verifies: ORCH-096
#[tokio::test]
async fn a_log_that_ends_before_what_was_synced_is_refused_unless_loss_is_accepted() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    let first = log.append(&frame(1, 1, b"one", b"first")).unwrap();
    let second = log.append(&frame(1, 2, b"two", b"second")).unwrap();
    log.sync().await.unwrap();
    // The mark is known to be written once the thread goes through another round.
    log.append(&frame(1, 3, b"three", b"third")).unwrap();
    let end = second.offset + u64::from(second.len_bytes);

    for len in [0, 24, first.offset + u64::from(first.len_bytes), second.offset + 5, end - 1] {
        let left = killed(dir.path());
        let file = fs::File::options().write(true).open(segment(left.path(), 1)).unwrap();
        file.set_len(len).unwrap();
        let refused = refusal(left.path());
        let expected_refusal = match len {
            0 => matches!(refused, EventStoreError::Damaged { .. }),
            _ => matches!(refused, EventStoreError::Lost { .. }),
        };
        assert!(expected_refusal, "{len}: {refused:?}");
        for options in [ACCEPT_LOSS, ON_DEMAND] {
            let log = SegmentLog::open(left.path(), options).unwrap();
            assert_eq!(events(&log).unwrap().len(), usize::from(len > 24), "{len}");
        }
    }
    let left = killed(dir.path());
    let file = fs::File::options().write(true).open(segment(left.path(), 1)).unwrap();
    file.set_len(end).unwrap();
    assert_eq!(events(&SegmentLog::open(left.path(), ON_DEMAND).unwrap()).unwrap().len(), 2);
}

#[tokio::test]
async fn a_log_without_its_segments_is_lost() {
    let empty = tempdir().unwrap();
    let log = SegmentLog::open(empty.path(), ON_DEMAND).unwrap();
    while log.segments().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.append(&frame(1, 1, b"one", b"first")).unwrap();
    drop(log);
    // With and without the empty segment that waits behind it.
    fs::copy(segment(empty.path(), 2), segment(dir.path(), 2)).unwrap();
    for number in [1, 2] {
        fs::remove_file(segment(dir.path(), number)).unwrap();
        let refused = refusal(dir.path());
        assert!(matches!(refused, EventStoreError::Lost { .. }), "{refused:?}");
    }
    let log = SegmentLog::open(dir.path(), ACCEPT_LOSS).unwrap();
    assert_eq!(log.append(&frame(1, 1, b"one", b"first")).unwrap().segment, 2);
    drop(log);
    assert_eq!(events(&SegmentLog::open(dir.path(), ON_DEMAND).unwrap()).unwrap().len(), 1);
}

#[test]
fn a_side_file_survives_the_loss_of_one_of_its_two_slots() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.append(&frame(1, 1, b"one", b"first")).unwrap();
    drop(log);
    for (slots, fine) in [(&[0, 4096][..1], true), (&[4096], true), (&[0, 4096], false)] {
        let left = killed(dir.path());
        for at in slots {
            flip(&left.path().join("synced"), at + 17);
        }
        assert_eq!(SegmentLog::open(left.path(), ON_DEMAND).is_ok(), fine, "{slots:?}");
        assert!(SegmentLog::open(left.path(), ACCEPT_LOSS).is_ok());
        assert!(SegmentLog::open(left.path(), ON_DEMAND).is_ok());
    }
}

#[test]
fn a_segment_of_a_later_version_is_refused_as_such() {
    let dir = tempdir().unwrap();
    drop(SegmentLog::open(dir.path(), ON_DEMAND).unwrap());
    let path = segment(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let sum = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    for options in [ON_DEMAND, ACCEPT_LOSS] {
        let Err(EventStoreError::Io { source, .. }) = SegmentLog::open(dir.path(), options) else {
            panic!("a later version was opened")
        };
        assert!(source.to_string().contains("later version"), "{source}");
    }
}

#[test]
fn bytes_of_a_record_inside_of_a_frame_are_not_taken_for_a_record() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    log.append(&frame(1, 1, b"one", b"first")).unwrap();
    let record = fs::read(segment(dir.path(), 1)).unwrap()[24..].to_vec();
    let outer = log.append(&frame(1, 2, b"", &record)).unwrap();
    let left = killed(dir.path());
    flip(&segment(left.path(), 1), outer.offset);
    // Were the inner bytes a record, this would be damage before the tail.
    let log = SegmentLog::open(left.path(), ON_DEMAND).unwrap();
    assert_eq!((events(&log).unwrap().len(), log.torn_tails()), (1, 1));
}
