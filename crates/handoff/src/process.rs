use std::{collections::BTreeSet, fs, io};

/// A process that no later one with the same number can be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId {
    pub pid: u32,
    /// When it began, in clock ticks since the start of the machine.
    pub start_time: u64,
}

impl ProcessId {
    /// The living process with a number; `None` where there is none. One that ended and that nobody has
    /// waited for does not live.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let start_time = living_since(&stat)?;
        Some(Self { pid, start_time })
    }

    /// Whether it still lives.
    #[must_use]
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// The inodes of the sockets that it has open.
    ///
    /// # Errors
    /// It is gone, or belongs to somebody else.
    pub(crate) fn sockets(self) -> io::Result<BTreeSet<u64>> {
        let mut sockets = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.pid))? {
            // A descriptor may be closed meanwhile.
            let Ok(target) = fs::read_link(entry?.path()) else { continue };
            let inode: Option<u64> = target.to_str().and_then(|target| {
                target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
            });
            sockets.extend(inode);
        }
        Ok(sockets)
    }
}

/// The run of this machine, as files name it.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Field 22 of `/proc/<pid>/stat`, unless field 3 says that the process is dead.
fn living_since(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything, parentheses and spaces included.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let is_dead = matches!(state, "Z" | "X" | "x");
    fields.nth(18)?.parse().ok().filter(|_| !is_dead)
}
