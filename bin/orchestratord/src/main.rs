//! The orchestrator daemon: reads the configuration, puts the parts together, serves, and ends in order.

#[cfg(not(target_os = "linux"))]
compile_error!("orchestratord runs on Linux; its library crates build elsewhere too");

mod abilities;
mod announce;
mod backup;
mod boot_clock;
mod catalog_keeper;
mod catalog_parts;
mod catalog_problem;
mod catalog_view;
mod catalog_work;
mod cli;
mod config_command;
mod current;
mod daemon;
mod descriptors;
mod embedded_pool;
mod entrance;
mod environment;
mod etag;
mod event_stream;
mod fetches;
mod handoff_log;
mod handoff_pools;
mod handoff_probe;
mod hangup;
mod logging;
mod metrics_listener;
mod models;
mod openai_pool;
mod openapi;
mod page;
mod placing;
mod pools;
mod preflight;
mod progress_line;
mod provisioning;
mod query;
mod reload;
mod routes;
mod scrape;
mod service_manager;
mod signals;
mod state;
mod telemetry;
mod tokens;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    cli::{Cli, Command},
    environment::{Environment, WrongConfig},
};

/// Exit status of a wrong configuration, as for wrong arguments.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            let is_usage = error.is::<WrongConfig>();
            ExitCode::from(if is_usage { EXIT_USAGE } else { 1 })
        }
    }
}

#[expect(clippy::print_stderr, reason = "it is for the person who started the daemon")]
fn complain(error: &anyhow::Error) {
    eprintln!("orchestratord: {}", logging::masker().mask(&format!("{error:#}")));
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Some(Command::Config(command)) => {
            config_command::run(command, cli, &Environment::read(), print)
        }
        Some(Command::Openapi) => print(openapi::text()),
        Some(Command::Backup { dir }) => print(&backup::back_up(&data_dir(cli)?, dir)?),
        Some(Command::Restore { dir }) => print(&backup::restore(dir, &data_dir(cli)?)?),
        None => serve(cli),
    }
}

/// Where the daemon of this configuration keeps everything.
fn data_dir(cli: &Cli) -> anyhow::Result<camino::Utf8PathBuf> {
    let environment = Environment::read();
    let config = environment.load(cli)?.config;
    environment.data_dir(&config)
}

/// Prints for whoever asked; a reader that has seen enough is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write as _};
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn serve(cli: &Cli) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_former| anyhow::anyhow!("another TLS provider is installed already"))?;
    // Sockets, runs and subscribers live on one thread: a token crosses none on its way.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // First of all, as without a handler the signal ends the process.
        let hangup = hangup::Hangup::new()?;
        let environment = Environment::read();
        let config = environment.load(cli)?.config;
        let logging = logging::start(&config.log);
        daemon::run(cli, &environment, config, &logging, hangup).await
    })
}
