use std::{fs::File, io::Seek, os::unix::fs::FileExt};

use camino::Utf8Path;
use orchestrator::EventStoreError;

use crate::{
    mark::Place,
    record::{HEADER_BYTES_U32, Header},
    scan::{Found, Scan},
    segment::{self, SEGMENT_HEADER_BYTES},
    state::failed_to,
    syncer::zero,
};

/// What to do about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDamage {
    Refuse,
    /// Skip what is damaged, and mark its place as erased.
    Mend,
}

/// Where a segment's valid records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walked {
    pub(crate) end: u64,
    /// Bytes behind the end that are no record.
    pub(crate) torn_bytes: u64,
}

/// Shows all valid records of a segment. What stands behind the last one is left there and reported; that
/// is damage unless the segment is the log's last.
pub(crate) fn walk(
    dir: &Utf8Path,
    number: u64,
    on_damage: OnDamage,
    visit: &mut dyn FnMut(u64, &Header, &[u8]),
) -> Result<Walked, EventStoreError> {
    let mut file = segment::open_to_overwrite(dir, number).map_err(failed_to("open"))?;
    if !segment::has_header(&file, number).map_err(failed_to("read"))? {
        let place = Place { segment: number, offset: 0 };
        refuse_or_warn(on_damage, place)?;
        file.write_all_at(&segment::header(number), 0).map_err(failed_to("mend"))?;
    }
    file.rewind().map_err(failed_to("read"))?;
    let mut scan = Scan::new(&file, number, SEGMENT_HEADER_BYTES).map_err(failed_to("read"))?;
    loop {
        match scan.next().map_err(failed_to("read"))? {
            Found::Record { offset, header, content } => visit(offset, &header, content),
            Found::Damage { offset } => match scan.skip_damage().map_err(failed_to("read"))? {
                Some(next) => {
                    refuse_or_warn(on_damage, Place { segment: number, offset })?;
                    mend(&file, number, offset, next)?;
                }
                None => {
                    let len = file.metadata().map_err(failed_to("read"))?.len();
                    return Ok(Walked { end: offset, torn_bytes: len - offset });
                }
            },
            Found::End => {
                let end = file.metadata().map_err(failed_to("read"))?.len();
                return Ok(Walked { end, torn_bytes: 0 });
            }
        }
    }
}

/// Refuses damage at a place, or says that it is accepted.
pub(crate) fn refuse_or_warn(on_damage: OnDamage, place: Place) -> Result<(), EventStoreError> {
    match on_damage {
        OnDamage::Refuse => Err(EventStoreError::Damaged { place: place.to_string() }),
        OnDamage::Mend => {
            tracing::warn!(%place, "damage in the event log is skipped, as loss was accepted");
            Ok(())
        }
    }
}

/// Puts an erased record in the place of damaged ones, so that the next start does not meet them.
fn mend(file: &File, segment: u64, from: u64, to: u64) -> Result<(), EventStoreError> {
    let Some(record_bytes) =
        u32::try_from(to - from).ok().filter(|bytes| *bytes >= HEADER_BYTES_U32)
    else {
        return Ok(()); // no record fits there, so the damage is met, and accepted, again
    };
    let header = Header::filler(record_bytes).encode(segment, from);
    zero(file, from, to - from)
        .and_then(|()| file.write_all_at(&header, from))
        .and_then(|()| file.sync_data())
        .map_err(failed_to("mend"))
}
