use anyhow::Result;
use camino::Utf8Path;
use clap::{Args, ValueEnum};

use crate::{process, setup};

/// What the crash test is to do; the test itself is a program of `testkit`, so that this one stays small.
#[derive(Debug, Args)]
pub(crate) struct Crash {
    /// What answers.
    #[arg(long, value_enum, default_value = "scripted")]
    pub(crate) engine: Engine,
    /// How often the daemon is killed.
    #[arg(long, default_value_t = 200)]
    pub(crate) kills: u32,
    /// What all random choices come from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Delete events so many milliseconds after their task's end, and tasks after three times that.
    #[arg(long, value_name = "MS")]
    pub(crate) retention_ms: Option<u64>,
    /// Keep data and logs under target/crash/ even where all is well.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What answers while the daemon is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// A process of its own with scripted answers.
    Scripted,
    /// The starter model in the daemon.
    Candle,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Scripted => "scripted",
            Self::Candle => "candle",
        }
    }
}

/// Builds the daemon and the crash test, and runs it.
pub(crate) fn run(root: &Utf8Path, crash: &Crash) -> Result<()> {
    if crash.engine == Engine::Candle {
        setup::run(root)?;
    }
    process::build_programs(root)?;
    let engine = crash.engine.name();
    let folder = root.join(format!("target/crash/{engine}-{}", crash.seed));
    let (kills, seed) = (crash.kills.to_string(), crash.seed.to_string());
    let mut test = std::process::Command::new(process::program(root, "crash"));
    test.current_dir(root)
        .args(["--engine", engine, "--kills", &kills, "--seed", &seed])
        .args(["--daemon", process::program(root, "orchestratord").as_str()])
        .args(["--folder", folder.as_str()])
        .args(["--model", setup::model_file(root).as_str()]);
    if let Some(retention_ms) = crash.retention_ms {
        test.args(["--retention-ms", &retention_ms.to_string()]);
    }
    if crash.keep {
        test.arg("--keep");
    }
    process::run(&mut test)
}
