//! Command line of the orchestrator.

mod answer;
mod cli;
mod commands;
mod failure;
mod operation_bar;
mod output;
mod part_of_id;
mod progress_note;
mod table;
mod task_name;

use std::process::ExitCode;

use clap::Parser as _;
use client::{Client, ClientConfig, Token};

use crate::{
    cli::{Cli, Command},
    failure::Failure,
    output::Output,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nobody else in this process installs one");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an I/O driver and a clock are there");
    let as_json = cli.json;
    let result = runtime.block_on(perform(cli));
    // A write that nobody reads must not hold the exit up.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(as_json),
    }
}

async fn perform(cli: Cli) -> Result<(), Failure> {
    let mut output = Output::new(cli.json);
    match &cli.command {
        Command::Completions { shell } => return commands::completions(*shell, &mut output).await,
        Command::Man { dir } => return commands::man(dir.as_deref(), &mut output).await,
        _ => {}
    }
    let mut config = ClientConfig::new(cli.url);
    if let Some(path) = &cli.token_file {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Failure::TokenFile { path: path.clone(), source })?;
        config.token = Some(Token::new(&text));
    }
    if let Command::Doctor { .. } = cli.command {
        // It tells at once what it meets, and waits for nothing to get better.
        (config.answer_timeout_ms, config.reach_ms, config.patience_ms) = (5_000, 500, 500);
    }
    let client = Client::new(config)?;
    match cli.command {
        Command::Run(args) => commands::run(&client, *args, &mut output).await,
        Command::Ps(args) => commands::ps(&client, &args, &mut output).await,
        Command::Show { task, prompt } => commands::show(&client, &task, prompt, &mut output).await,
        Command::Events { task, after } => {
            commands::events(&client, &task, after, &mut output).await
        }
        Command::Cancel { task } => commands::cancel(&client, &task, &mut output).await,
        Command::Models { command } => commands::models(&client, command, &mut output).await,
        Command::Operations { command } => {
            commands::operations(&client, command, &mut output).await
        }
        Command::Status => commands::status(&client, &mut output).await,
        Command::Why { task } => commands::why(&client, &task, &mut output).await,
        Command::Doctor { data_dir } => {
            commands::doctor(&client, data_dir.as_deref(), &mut output).await
        }
        Command::Chat { model } => commands::chat(&client, model, &mut output).await,
        Command::Completions { .. } | Command::Man { .. } => unreachable!("done without a daemon"),
    }
}
