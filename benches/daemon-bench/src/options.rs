use camino::Utf8PathBuf;

use crate::tasks;

/// Measures the daemon beside other servers, all on this machine and in one run, and prints a table.
#[derive(Debug, clap::Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// Parts to measure; all when left out.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Part>,
    /// The daemon.
    #[arg(long)]
    pub(crate) daemon: Utf8PathBuf,
    /// The scripted engine.
    #[arg(long)]
    pub(crate) engine: Utf8PathBuf,
    /// nginx; what compares with it is left out without.
    #[arg(long)]
    pub(crate) nginx: Option<Utf8PathBuf>,
    /// vllm-router; what compares with it is left out without.
    #[arg(long)]
    pub(crate) vllm_router: Option<Utf8PathBuf>,
    /// Folder for data and logs; what lies there is removed first.
    #[arg(long)]
    pub(crate) folder: Utf8PathBuf,
    /// A folder in memory, for the daemon whose store costs no device.
    #[arg(long, default_value = "/dev/shm")]
    pub(crate) memory_folder: Utf8PathBuf,
    /// Seconds of each window that is measured.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) window_s: u64,
    /// Rounds of what is compared; the table has the median.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) rounds: u64,
    /// Tasks after which memory is held against that after the first 10,000.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2 * tasks::EARLY..=10_000_000))]
    pub(crate) tasks: u64,
    /// Fail when a target is missed.
    #[arg(long)]
    pub(crate) check: bool,
    /// Idle subscribers to hold.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(16..=100_000))]
    pub(crate) subscribers: u64,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Processor time and latency of a streamed token.
    Relay,
    /// Durable admissions.
    Admission,
    /// Whole tasks, and memory after many of them.
    Tasks,
    /// Memory of idle subscribers.
    Subscribers,
    /// Time to readiness, and memory when idle.
    Start,
}

impl Options {
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}
