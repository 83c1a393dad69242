use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    sync::Arc,
};

use camino::Utf8Path;
use orchestrator::{EventStoreError, SegmentSize};

use crate::{
    LogOptions,
    mark::{Mark, Place, SyncedMark},
    segment::{self, SEGMENT_HEADER_BYTES},
    state::{Head, failed_to},
    walk::{OnDamage, refuse_or_warn, walk},
};

/// A log found in order, or put in order.
pub(crate) struct Opened {
    pub(crate) head: Head,
    pub(crate) mark: SyncedMark,
    /// Tails that were cut.
    pub(crate) torn_tails: u64,
}

/// Finds the end of the log, and cuts what a crash left behind it.
pub(crate) fn open(dir: &Utf8Path, options: LogOptions) -> Result<Opened, EventStoreError> {
    let on_damage = if options.accept_loss { OnDamage::Mend } else { OnDamage::Refuse };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed_to("create"))?;
    segment::remove_unfinished(dir).map_err(failed_to("open"))?;
    let mut segments = segment::list(dir).map_err(failed_to("open"))?;
    refuse_gaps(&segments, on_damage)?;
    let known_synced = SyncedMark::read(dir).map_err(failed_to("open"))?;

    if segments.is_empty() {
        // A log that lost all its segments goes on behind them, as their places may be known elsewhere.
        let number = match &known_synced {
            Mark::At(place, _) if place.offset > SEGMENT_HEADER_BYTES => place.segment + 1,
            Mark::At(place, _) => place.segment,
            Mark::Missing | Mark::Damaged => 1,
        };
        if let Mark::At(expected, _) = &known_synced
            && expected.offset > SEGMENT_HEADER_BYTES
        {
            refuse_or_warn_of_loss(on_damage, "its beginning", *expected)?;
        }
        segment::create(dir, number).map_err(failed_to("create"))?;
        segments = vec![SegmentSize { number, len_bytes: SEGMENT_HEADER_BYTES }];
    }

    let last = segments.iter().rposition(|segment| segment.len_bytes > SEGMENT_HEADER_BYTES);
    let active = segments[last.unwrap_or(0)].number;
    let walked = walk(dir, active, on_damage, &mut |_, _, _| {})?;
    let end = Place { segment: active, offset: walked.end };

    let mark = match known_synced {
        Mark::Missing => SyncedMark::create(dir, end).map_err(failed_to("create"))?,
        Mark::Damaged => {
            let place = "the side file `synced`".to_owned();
            if on_damage == OnDamage::Refuse {
                return Err(EventStoreError::Damaged { place });
            }
            tracing::warn!(place, "damage in the event log is skipped, as loss was accepted");
            SyncedMark::create(dir, end).map_err(failed_to("create"))?
        }
        // A mark lies in a segment that exists, as segments are only removed before it.
        Mark::At(expected, _) if end < expected || expected.segment < segments[0].number => {
            refuse_or_warn_of_loss(on_damage, &end.to_string(), expected)?;
            SyncedMark::create(dir, end).map_err(failed_to("create"))?
        }
        Mark::At(_, mark) => mark,
    };

    let file = segment::open_to_append(dir, active).map_err(failed_to("open"))?;
    if walked.torn_bytes > 0 {
        tracing::warn!(place = %end, bytes = walked.torn_bytes, "a torn tail of the event log is cut");
        file.set_len(walked.end).map_err(failed_to("cut"))?;
    }
    let spare = open_existing(dir, &segments, active + 1)?;
    let former = open_existing(dir, &segments, active - 1)?;
    let head = Head {
        segment: active,
        file: Arc::new(file),
        len: walked.end,
        spare,
        // What the former process wrote may be in the page cache only, so the first round syncs it.
        changes: 1,
        is_dirty: true,
        is_sync_wanted: false,
        retired: former.into_iter().map(Arc::new).collect(),
        erasures: Vec::new(),
        removals: Vec::new(),
        is_stopping: false,
        failure: None,
    };
    Ok(Opened { head, mark, torn_tails: u64::from(walked.torn_bytes > 0) })
}

fn refuse_gaps(segments: &[SegmentSize], on_damage: OnDamage) -> Result<(), EventStoreError> {
    for pair in segments.windows(2) {
        if pair[1].number != pair[0].number + 1 {
            refuse_or_warn(on_damage, Place { segment: pair[0].number + 1, offset: 0 })?;
        }
    }
    Ok(())
}

fn refuse_or_warn_of_loss(
    on_damage: OnDamage,
    found: &str,
    expected: Place,
) -> Result<(), EventStoreError> {
    if on_damage == OnDamage::Refuse {
        return Err(EventStoreError::Lost {
            found: found.to_owned(),
            expected: expected.to_string(),
        });
    }
    tracing::warn!(found, %expected, "the event log lost its end, which was accepted");
    Ok(())
}

fn open_existing(
    dir: &Utf8Path,
    segments: &[SegmentSize],
    number: u64,
) -> Result<Option<File>, EventStoreError> {
    if !segments.iter().any(|segment| segment.number == number) {
        return Ok(None);
    }
    segment::open_to_append(dir, number).map(Some).map_err(failed_to("open"))
}
