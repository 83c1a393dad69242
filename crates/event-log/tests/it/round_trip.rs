use camino_tempfile::tempdir;
use event_log::{LogOptions, SegmentLog};
use orchestrator::{EventStore, EventStoreError, Frame, FrameKind};

use crate::log_dir::{ON_DEMAND, frame, killed, recover, task};

#[test]
fn a_frame_reads_back_as_it_was_appended() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), LogOptions::default()).unwrap();
    for (kind, generation, events) in [
        (FrameKind::Output, &b"\x01\x02"[..], &b"data: \xF0\x9F\x98\x80\n\n"[..]),
        (FrameKind::Replayed, b"", b""),
        (FrameKind::Output, b"only ids", b""),
        (FrameKind::Output, b"", b"only events"),
    ] {
        let appended = Frame {
            task: task(7),
            kind,
            attempt: 3,
            first_event: 12,
            event_count: 4,
            generation,
            events,
        };
        let region = log.append(&appended).unwrap();
        assert_eq!((region.first_event, region.event_count), (12, 4));
        let read = log.read(task(7), &region).unwrap();
        assert_eq!((read.kind, read.attempt), (kind, 3));
        assert_eq!((read.first_event, read.event_count), (12, 4));
        assert_eq!((&read.generation[..], &read.events[..]), (generation, events));
    }
}

#[test]
fn a_frame_larger_than_a_read_buffer_survives() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    for first_event in 1..=3 {
        log.append(&frame(1, first_event, &large, &large)).unwrap();
    }
    drop(log);
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    let found = recover(&log).unwrap();
    assert_eq!(found.len(), 3);
    for (_, _, frame) in found {
        assert!(frame.generation == large && frame.events == large);
    }
}

/// Verifies: ORCH-093
#[test]
fn appended_frames_survive_a_kill_without_any_sync() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    let regions: Vec<_> = (1..=50)
        .map(|number| log.append(&frame(u128::from(number), number, b"g", b"e")).unwrap())
        .collect();
    let left = killed(dir.path());
    let found = recover(&SegmentLog::open(left.path(), ON_DEMAND).unwrap()).unwrap();
    assert_eq!(found.iter().map(|(_, region, _)| *region).collect::<Vec<_>>(), regions);
}

#[test]
fn recovery_shows_the_wanted_tasks_in_the_order_of_their_frames() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    for first_event in 1..=30 {
        for number in [1, 2, 3] {
            log.append(&frame(number, first_event, b"", b"e")).unwrap();
        }
    }
    drop(log);
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    let mut found = Vec::new();
    log.recover(1, &mut |id| id != task(2), &mut |id, region, _| {
        found.push((region.first_event, id));
    })
    .unwrap();
    let expected: Vec<_> =
        (1..=30).flat_map(|event| [(event, task(1)), (event, task(3))]).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_region_of_another_task_or_place_is_refused() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    let region = log.append(&frame(1, 1, b"abc", b"def")).unwrap();
    let mut elsewhere = region;
    elsewhere.offset += 1;
    let mut beyond = region;
    beyond.offset += u64::from(region.len_bytes);
    let mut nowhere = region;
    nowhere.segment = 99;
    let mut shorter = region;
    shorter.len_bytes -= 1;
    for (id, wrong) in [
        (task(2), region),
        (task(1), elsewhere),
        (task(1), beyond),
        (task(1), nowhere),
        (task(1), shorter),
    ] {
        let refused = log.read(id, &wrong);
        assert!(matches!(refused, Err(EventStoreError::Damaged { .. })), "{refused:?}");
    }
}

#[test]
fn threads_append_at_once_without_mixing_frames() {
    let dir = tempdir().unwrap();
    let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
    std::thread::scope(|scope| {
        for number in 1..=4_u8 {
            let log = &log;
            scope.spawn(move || {
                for first_event in 1..=500 {
                    let events = vec![number; usize::from(number) * 10];
                    log.append(&frame(u128::from(number), first_event, b"", &events)).unwrap();
                }
            });
        }
    });
    let mut next = [1_u64; 5];
    for (id, region, stored) in recover(&log).unwrap() {
        let number = u8::try_from(id.0.as_u128()).unwrap();
        assert_eq!(stored.events, vec![number; usize::from(number) * 10]);
        assert_eq!(region.first_event, next[usize::from(number)]);
        next[usize::from(number)] += 1;
    }
    assert_eq!(next, [1, 501, 501, 501, 501]);
}
