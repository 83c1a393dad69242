use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    sync::{Arc, MutexGuard},
    time::{Duration, Instant},
};

use camino::Utf8Path;

use crate::{
    mark::{Place, SyncedMark},
    segment,
    state::{Erasure, Head, Removal, Shared, is_full},
};

/// How often the side file is made to survive power loss.
const MARK_SYNC_EVERY: Duration = Duration::from_secs(1);

/// The log's thread: brings what was appended to the device, and makes segments ahead of need.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    mark: SyncedMark,
    mark_synced_at: Instant,
}

/// What one round brings to the device.
struct Round {
    files: Vec<Arc<File>>,
    erasures: Vec<Erasure>,
    removals: Vec<Removal>,
    end: Option<Place>,
    changes: u64,
}

impl Syncer {
    pub(crate) fn new(shared: Arc<Shared>, mark: SyncedMark) -> Self {
        Self { shared, mark, mark_synced_at: now() }
    }

    /// Works until the log is dropped, or something failed.
    pub(crate) fn run(mut self) {
        self.make_spare();
        while let Some(round) = self.next_round() {
            if let Err((action, error)) = self.carry_out(&round) {
                tracing::error!(%error, "the event log cannot {action}");
                self.shared.fail(&mut self.shared.head(), action, &error);
                return;
            }
            self.shared.progress.send_modify(|progress| progress.changes = round.changes);
            // Afterwards, so that nobody waits for it.
            self.sync_mark();
            self.make_spare();
        }
    }

    /// Waits for something to do; `None` when there will be nothing any more.
    fn next_round(&self) -> Option<Round> {
        let wake = &self.shared.wake;
        let poisoned = "no holder of the lock panics";
        let mut head: MutexGuard<'_, Head> = wake
            .wait_while(self.shared.head(), |head| !head.is_dirty && !head.is_stopping)
            .expect(poisoned);
        let pause = Duration::from_millis(self.shared.options.sync_every_ms);
        (head, _) = wake
            .wait_timeout_while(head, pause, |head| !head.is_sync_wanted && !head.is_stopping)
            .expect(poisoned);
        if !head.is_dirty || head.failure.is_some() {
            return None;
        }
        head.is_dirty = false;
        head.is_sync_wanted = false;
        let mut files = std::mem::take(&mut head.retired);
        files.push(Arc::clone(&head.file));
        let erasures = std::mem::take(&mut head.erasures);
        let removals = std::mem::take(&mut head.removals);
        Some(Round { files, erasures, removals, end: head.end(), changes: head.changes })
    }

    fn carry_out(&mut self, round: &Round) -> Result<(), (&'static str, io::Error)> {
        for file in &round.files {
            file.sync_data().map_err(|error| ("sync", error))?;
        }
        erase(&self.shared.dir, &round.erasures).map_err(|error| ("erase a part of", error))?;
        if let Some(end) = round.end {
            self.mark.write(end).map_err(|error| ("note the end of", error))?;
        }
        if !round.removals.is_empty() {
            // A mark that survived in a segment which did not would look like loss.
            self.mark.sync().map_err(|error| ("note the end of", error))?;
            self.mark_synced_at = now();
            self.remove(&round.removals).map_err(|error| ("shorten", error))?;
        }
        Ok(())
    }

    fn remove(&self, removals: &[Removal]) -> io::Result<()> {
        let dir = &self.shared.dir;
        for removal in removals {
            let number = match *removal {
                Removal::Whole(number) => {
                    match fs::remove_file(segment::path(dir, number)) {
                        // Asked for twice.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        removed => removed?,
                    }
                    number
                }
                Removal::Content(number) => {
                    match segment::empty(dir, number) {
                        // Nothing is lost by keeping it, and the next removal tries again.
                        Err(error) if is_full(&error) => {
                            tracing::warn!(%error, segment = number, "no room to empty a segment");
                        }
                        emptied => emptied?,
                    }
                    number
                }
            };
            // An open file would keep the room.
            let mut files = self.shared.read_files.lock().expect("no holder of the lock panics");
            files.retain(|(segment, _)| *segment != number);
        }
        segment::sync_dir(dir)
    }

    fn sync_mark(&mut self) {
        let now = now();
        if now.duration_since(self.mark_synced_at) >= MARK_SYNC_EVERY {
            self.mark_synced_at = now;
            if let Err(error) = self.mark.sync() {
                self.shared.fail(&mut self.shared.head(), "note the end of", &error);
            }
        }
    }

    /// Makes the segment after the current one, unless it is there. Where there is no room the current
    /// one grows on, and the next round tries again.
    fn make_spare(&self) {
        let number = {
            let head = self.shared.head();
            if head.spare.is_some() || head.is_stopping || head.failure.is_some() {
                return;
            }
            head.segment + 1
        };
        let made = segment::create(&self.shared.dir, number);
        let mut head = self.shared.head();
        match made {
            Ok(spare) => head.spare = Some(spare),
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, segment = number, "no room for the event log's next segment");
            }
            Err(error) => {
                self.shared.fail(&mut head, "add a segment to", &error);
            }
        }
    }
}

/// Overwrites contents once their records are known to be erased on the device: in the other order, a
/// power loss in between would leave damage.
fn erase(dir: &Utf8Path, erasures: &[Erasure]) -> io::Result<()> {
    let mut erasures = erasures.to_vec();
    erasures.sort_unstable();
    for of_segment in erasures.chunk_by(|one, other| one.segment == other.segment) {
        let file = match segment::open_to_overwrite(dir, of_segment[0].segment) {
            // Removed in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        file.sync_data()?;
        let len = file.metadata()?.len();
        // Where the segment was emptied in the meantime there is nothing to overwrite.
        for erasure in of_segment.iter().filter(|erasure| erasure.from + erasure.len <= len) {
            zero(&file, erasure.from, erasure.len)?;
        }
        file.sync_data()?;
    }
    Ok(())
}

/// Writes zeros.
pub(crate) fn zero(file: &File, from: u64, len: u64) -> io::Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut done = 0;
    while done < len {
        let piece = usize::try_from(len - done).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        file.write_all_at(&ZEROS[..piece], from + done)?;
        done += piece as u64;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "paces this thread; no decision rests on it")]
fn now() -> Instant {
    Instant::now()
}
