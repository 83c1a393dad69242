//! Measures one graph of trivial nodes, none of which waits for another, in everything that runs such graphs:
//! a bare `JoinSet`, critic-executor, the crate dagx, and LangGraph where a Python with it is given.
//!
//! Contestants take turns within each round, and medians of rounds are compared, so that what disturbs the
//! machine disturbs all of them.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program whose output is its tables"
)]

mod allocations;
mod contestant;
mod langgraph;
mod measure;
mod table;
mod target;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use contestant::Contestant;
use measure::{MANY, Measured, SIZES};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// Measures critic-executor beside others.
#[derive(Debug, Parser)]
struct Arguments {
    /// Fail when a ratio is worse than its target.
    #[arg(long)]
    check: bool,
    /// A Python that has LangGraph; without it LangGraph is left out.
    #[arg(long, value_name = "PYTHON")]
    langgraph: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False if a target was to be met and was missed.
fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .context("no runtime could be started")?;
    // First, while the process is small.
    let growth = measure::growth(&runtime);
    let mut results: Vec<Measured> = Vec::new();
    for size in SIZES {
        results.extend(measure::all(&runtime, &Contestant::SIDE_BY_SIDE, size));
    }
    results.push(measure::grants(&runtime));
    let alone = [Contestant::Spawn, Contestant::Gated, Contestant::Waiters, Contestant::Planning];
    for contestant in alone {
        results.extend(measure::all(&runtime, &[contestant], MANY));
    }
    if let Some(python) = &arguments.langgraph {
        match langgraph::measure(python) {
            Ok(measured) => results.extend(measured),
            Err(error) => eprintln!("note: LangGraph is left out: {error:#}"),
        }
    }
    print!("{}", table::render(&results));
    let missed = target::missed(&results);
    println!();
    for target in target::ALL {
        println!("{}", target.line(&results));
    }
    println!("{}", target::growth_line(growth));
    Ok(!arguments.check || missed.is_empty() && !target::grows(growth))
}
