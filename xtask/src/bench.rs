mod critics;
mod daemon;
mod venv;

use anyhow::Result;
use camino::Utf8Path;
use clap::{Args, Subcommand};

/// What `cargo xtask bench` was asked for.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    subject: Option<Subject>,
    /// Fail when a ratio is worse than its target.
    #[arg(long, global = true)]
    check: bool,
}

/// What is measured; without one, everything. Each has a file of its own under `bench/`.
#[derive(Debug, Subcommand)]
enum Subject {
    /// critic-executor beside a bare `JoinSet`, the crate dagx and LangGraph.
    Critics,
    /// orchestratord beside nginx and vllm-router: relay, admission, memory, start.
    Daemon(daemon::Daemon),
}

/// `cargo xtask bench [SUBJECT] [--check]`
pub(crate) fn run(root: &Utf8Path, bench: &Bench) -> Result<()> {
    match &bench.subject {
        Some(Subject::Critics) => critics::run(root, bench.check),
        Some(Subject::Daemon(daemon)) => daemon::run(root, daemon, bench.check),
        None => {
            daemon::run(root, &daemon::Daemon::default(), bench.check)?;
            critics::run(root, bench.check)
        }
    }
}
