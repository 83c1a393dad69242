//! `cargo xtask`: what this project does with itself.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for people and CI, not a library"
)]

mod bench;
mod ci;
mod commands;
mod crash;
mod embedding;
mod platforms;
mod process;
mod setup;

use std::process::ExitCode;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Parser, Subcommand};

/// Automation of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure side by side in one run, in a release build, and print tables with ratios.
    Bench(bench::Bench),
    /// Everything that must pass before a change lands; calls setup first.
    Ci,
    /// Write the contracts under contracts/generated/ and the pages under docs/reference/.
    Contracts {
        /// Fail when a checked-in file differs, and write nothing.
        #[arg(long)]
        check: bool,
    },
    /// Kill the daemon again and again under load; nothing may be lost, and nothing may happen twice.
    Crash(crash::Crash),
    /// Check which crate may depend on which.
    Layers,
    /// Check that the library crates build for Windows and macOS, or for other targets.
    Platforms(platforms::Platforms),
    /// Fetch what tests need into target/setup/: the starter model and a Python environment.
    Setup,
    /// Simulate hours of load and faults from seeds, judged after every step; all that follows goes to the
    /// simulation, and `-- --help` tells what it takes.
    Sim {
        /// Such as `--seeds 1000 --from 1 --hours 1`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Show which requirements are verified, and by which tests.
    Specs {
        /// List the areas whose title contains this text, or the one requirement of this name.
        area: Option<String>,
        /// Fail when requirements, .specs/status.toml and tests disagree.
        #[arg(long)]
        check: bool,
        /// With --check: what `cargo test` printed; verified requirements need a test in it that passed.
        #[arg(long, requires = "check", value_name = "FILE")]
        ran: Option<Utf8PathBuf>,
        /// Set every planned requirement that a test names to verified in .specs/status.toml.
        #[arg(long, conflicts_with_all = ["check", "area"])]
        mark_verified: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = root().and_then(|root| run(arguments.command, &root));
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    // A failed check is no fault of this program, so nobody needs its backtrace.
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    eprintln!("error: {}", causes.join("\n  because "));
    ExitCode::FAILURE
}

fn root() -> Result<Utf8PathBuf> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let here = Utf8PathBuf::try_from(here).context("the current folder is not UTF-8")?;
    xtask::sources::workspace_root(&here)
}

fn run(command: Command, root: &Utf8Path) -> Result<()> {
    match command {
        Command::Bench(bench) => bench::run(root, &bench),
        Command::Ci => ci::run(root),
        Command::Contracts { check } => commands::contracts(root, check, commands::daemon()),
        Command::Crash(crash) => crash::run(root, &crash),
        Command::Layers => commands::layers(root),
        Command::Platforms(wanted) => platforms::run(root, &wanted),
        Command::Setup => setup::run(root),
        Command::Sim { arguments } => commands::sim(root, &arguments),
        Command::Specs { check: true, ran, .. } => commands::check_specs(root, ran.as_deref()),
        Command::Specs { mark_verified: true, .. } => commands::mark_verified(root),
        Command::Specs { area, .. } => commands::show_specs(root, area.as_deref()),
    }
}
