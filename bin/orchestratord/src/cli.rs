use std::net::SocketAddr;

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};

/// The orchestrator: takes LLM work over HTTP, keeps it durably, and gets it done on this machine's
/// engines. Without configuration it serves a small starter model on 127.0.0.1:8080.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// Configuration file; else `ORCHD_CONFIG`, else `orchestratord/config.toml` in the user's
    /// configuration folder where it exists.
    #[arg(long, global = true, env = "ORCHD_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<Utf8PathBuf>,

    /// Address to listen on.
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub(crate) addr: Option<SocketAddr>,

    /// Folder of everything that is kept.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<Utf8PathBuf>,

    /// Start although the event log is damaged or ends too early; what is lost stays lost.
    #[arg(long)]
    pub(crate) accept_loss: bool,

    /// Without one of these the daemon serves.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do other than to serve.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Look at the configuration and start nothing.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Copy everything that is kept of tasks, and the catalog, into a folder, while the daemon may run.
    Backup {
        /// Folder of the copy, which must be empty or missing.
        dir: Utf8PathBuf,
    },
    /// Put a backup into the data directory, which must be empty or missing.
    Restore {
        /// Folder of the backup.
        dir: Utf8PathBuf,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check it as a start would; tell everything that is wrong, and exit with 2 where something is.
    Check,
    /// Print what holds as TOML, each value with where it comes from; secrets are masked.
    Print,
    /// Print the JSON Schema of the configuration file.
    Schema,
}
