use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{checks::Summary, kills::Kills, scene::Counters};

/// The figures of a run in which nothing was wrong.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) kills: Kills,
    pub(crate) summary: Summary,
    pub(crate) counters: Counters,
    pub(crate) tried: usize,
    pub(crate) took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, summary, counters, .. } = self;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (starting, ready, working) = (kills.starting, kills.ready, kills.working);
        writeln!(
            f,
            "kills      {} ({starting} while starting, {ready} just after, {working} at work)",
            starting + ready + working
        )?;
        writeln!(
            f,
            "starts     {}, ready after {} ms on average, {} ms at most",
            kills.starts,
            self.ready_ms_mean(),
            self.ready_ms_max()
        )?;
        writeln!(
            f,
            "tasks      {} of {} keys, all succeeded; {} with more than one attempt, {} attempts again",
            summary.tasks, self.tried, summary.interrupted, summary.attempts_again
        )?;
        if summary.forgotten > 0 {
            writeln!(f, "deleted    {} tasks under load, the others after it", summary.forgotten)?;
        }
        writeln!(f, "requests   {} keys acknowledged again", get(&counters.replays))?;
        writeln!(
            f,
            "streams    {}, of which {} broke; {} events, {} bytes",
            get(&counters.streams),
            get(&counters.broken_streams),
            summary.events,
            summary.bytes
        )?;
        write!(f, "took       {:.1} s", self.took.as_secs_f64())
    }
}

impl Report {
    fn ready_ms_mean(&self) -> u128 {
        let times = &self.kills.ready_after;
        let all: Duration = times.iter().sum();
        all.as_millis() / (times.len().max(1) as u128)
    }

    fn ready_ms_max(&self) -> u128 {
        self.kills.ready_after.iter().max().map_or(0, Duration::as_millis)
    }
}
