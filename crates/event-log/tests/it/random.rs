use std::fs;

use camino_tempfile::tempdir;
use event_log::SegmentLog;
use orchestrator::EventStore;
use proptest::prelude::*;

use crate::log_dir::{ON_DEMAND, frame, killed, recover, segment, task};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Verifies: ORCH-096
    #[test]
    fn a_log_cut_anywhere_recovers_the_frames_before_the_cut(
        frames in prop::collection::vec(
            (0_u128..4, prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..90)),
            0..30,
        ),
        cut in any::<prop::sample::Index>(),
    ) {
        let dir = tempdir().unwrap();
        let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
        let regions: Vec<_> = frames
            .iter()
            .enumerate()
            .map(|(at, (number, generation, events))| {
                log.append(&frame(*number, at as u64, generation, events)).unwrap()
            })
            .collect();
        let left = killed(dir.path());
        let path = segment(left.path(), 1);
        let whole = fs::metadata(&path).unwrap().len();
        let len = 24 + cut.index(usize::try_from(whole - 24).unwrap() + 1) as u64;
        fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();

        let log = SegmentLog::open(left.path(), ON_DEMAND).unwrap();
        let found = recover(&log).unwrap();
        let kept = regions
            .iter()
            .take_while(|region| region.offset + u64::from(region.len_bytes) <= len)
            .count();
        prop_assert_eq!(found.len(), kept);
        for ((id, region, stored), (at, (number, generation, events))) in
            found.into_iter().zip(frames.iter().enumerate())
        {
            prop_assert_eq!(id, task(*number));
            prop_assert_eq!(region, regions[at]);
            prop_assert_eq!(&stored.generation[..], &generation[..]);
            prop_assert_eq!(&stored.events[..], &events[..]);
        }
    }
}
