//! The crash test: kills the daemon again and again under load and holds what its clients saw against what
//! they must see. `cargo xtask crash` builds what it needs and runs it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people and CI")]

mod checks;
mod choices;
mod client;
mod clock;
mod daemon;
mod frames;
mod http;
mod job;
mod kills;
mod options;
mod order;
mod report;
mod run;
mod scene;
mod task;

use std::process::ExitCode;

use clap::Parser as _;

use crate::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let Options { kills, seed, folder, .. } = &options;
    let name = options.engine.name();
    println!("crash: engine {name}, kills {kills}, seed {seed}");
    match run::run(&options) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("crash: {error:#}");
            eprintln!(
                "crash: data and logs are in {folder}; again: cargo xtask crash --engine {name} --kills \
                 {kills} --seed {seed}"
            );
            ExitCode::FAILURE
        }
    }
}
