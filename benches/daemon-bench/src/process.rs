use std::process::{Child, Command};

use anyhow::{Context as _, Result, bail};

/// Clock ticks a second in /proc; fixed on Linux, whatever the kernel's own timer does.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that this program started; dropping it kills it and its children.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    pub(crate) fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// An error where it ended by itself.
    pub(crate) fn expect_alive(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot look after a process")? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself with {status}", self.name),
        }
    }

    /// Processor time that it and its children took so far, in seconds.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        let mut ticks = 0;
        for pid in self.pids() {
            ticks +=
                ticks_of(pid).with_context(|| format!("cannot read the times of {}", self.name))?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few million ticks")]
        let ticks = ticks as f64;
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// Memory of it and its children that is in RAM, in KiB.
    pub(crate) fn rss_kib(&self) -> Result<u64> {
        let mut sum = 0;
        for pid in self.pids() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
                .with_context(|| format!("cannot read the memory of {}", self.name))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number =
                line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            sum += number.with_context(|| format!("{} has no VmRSS", self.name))?;
        }
        Ok(sum)
    }

    /// It and its children.
    fn pids(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        std::iter::once(pid).chain(children).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx and Python end their own children when they are told to, but not when they are killed.
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().is_ok_and(|it| it.success());
        for _ in 0..if told { 200 } else { 0 } {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            crate::clock::pause(std::time::Duration::from_millis(10));
        }
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ticks in user and in kernel mode, of all threads, those that ended included.
fn ticks_of(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name stands in parentheses and may hold anything; the state comes after it.
    let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
    let mut fields = fields.split(' ').skip(11);
    let mut field = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let (user, system) = (field().context("no utime")?, field().context("no stime")?);
    Ok(user + system)
}
