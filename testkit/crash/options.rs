use camino::Utf8PathBuf;

/// Kills the daemon at random points under load, starts it again, and checks that nothing was lost, nothing
/// happened twice, and every text is the one of an undisturbed run. All choices come from the seed.
#[derive(Debug, clap::Parser)]
#[command(name = "crash")]
pub(crate) struct Options {
    /// What answers.
    #[arg(long, value_enum)]
    pub(crate) engine: Engine,
    /// How often the daemon is killed under load.
    #[arg(long)]
    pub(crate) kills: u32,
    /// What all random choices come from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How long events are kept after their task's end, in milliseconds; the task is kept three times as
    /// long. Without it nothing is deleted.
    #[arg(long)]
    pub(crate) retention_ms: Option<u64>,
    /// The daemon to kill.
    #[arg(long)]
    pub(crate) daemon: Utf8PathBuf,
    /// Folder for the data and logs of this run; what lies there is removed first, and this run's files too
    /// where all is well.
    #[arg(long)]
    pub(crate) folder: Utf8PathBuf,
    /// The model file, for the engine in the daemon.
    #[arg(long, required_if_eq("engine", "candle"))]
    pub(crate) model: Option<Utf8PathBuf>,
    /// Keep the folder even where all is well.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// The scripted engine, a process beside the daemon that survives its end.
    Scripted,
    /// A real model inside the daemon.
    Candle,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scripted => "scripted",
            Self::Candle => "candle",
        }
    }

    /// Clients that each have one task at a time.
    pub(crate) fn clients(self) -> u64 {
        match self {
            // More than the engine's slots, so that some tasks wait.
            Self::Scripted => 24,
            Self::Candle => 3,
        }
    }

    /// Number of tasks, where it is limited: each costs seconds twice.
    pub(crate) fn jobs(self, kills: u32) -> Option<u64> {
        match self {
            Self::Scripted => None,
            Self::Candle => Some(3 + 2 * u64::from(kills)),
        }
    }
}
