//! What the daemon costs: relay of tokens, admission, memory, start. `cargo xtask bench` builds what it
//! needs, brings the servers it is compared with, and runs it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod admission;
mod clock;
mod http;
mod options;
mod process;
mod relay;
mod sample;
mod servers;
mod stamps;
mod start;
mod subscribers;
mod table;
mod tasks;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::{
    options::{Options, Part},
    table::Table,
};

fn main() -> ExitCode {
    let options = Options::parse();
    let mut table = Table::default();
    let outcome = measure(&options, &mut table);
    // What was measured before something failed is worth showing.
    println!("\n{table}");
    match outcome {
        Ok(()) if options.check && table.missed() > 0 => {
            eprintln!("bench: {} targets are missed", table.missed());
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}; logs are in {}", options.folder);
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options, table: &mut Table) -> Result<()> {
    if options.folder.exists() {
        std::fs::remove_dir_all(&options.folder)
            .with_context(|| format!("cannot remove {}", options.folder))?;
    }
    std::fs::create_dir_all(&options.folder)
        .with_context(|| format!("cannot create {}", options.folder))?;
    // One thread: the client may not take what the servers need.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the client")?;
    if options.wants(Part::Start) {
        start::measure(options, table).context("start")?;
    }
    if options.wants(Part::Relay) {
        runtime.block_on(relay::measure(options, table)).context("relay")?;
    }
    if options.wants(Part::Admission) {
        runtime.block_on(admission::measure(options, table)).context("admission")?;
    }
    if options.wants(Part::Tasks) {
        runtime.block_on(tasks::measure(options, table)).context("tasks")?;
    }
    if options.wants(Part::Subscribers) {
        runtime.block_on(subscribers::measure(options, table)).context("subscribers")?;
    }
    Ok(())
}
