use std::net::SocketAddr;

use camino::Utf8PathBuf;

/// A scripted OpenAI-compatible engine for tests.
#[derive(Debug, clap::Parser)]
#[command(name = "scripted-engine")]
pub(crate) struct Options {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Tokens per second of each answer; 0 is as fast as possible.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) rate: f64,
    /// Tokens that are sent at once, at the time of the first of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) burst: u32,
    /// Let each token say when it was made: nanoseconds since 1970 in 20 digits between two `@`.
    #[arg(long)]
    pub(crate) stamps: bool,
    /// Answers generated at once; more requests wait.
    #[arg(long, default_value_t = 4)]
    pub(crate) slots: u32,
    /// Exit after so many tokens of all answers together.
    #[arg(long)]
    pub(crate) fail_after_tokens: Option<u64>,
    /// Exit after so many bytes of all streamed bodies together.
    #[arg(long)]
    pub(crate) fail_after_bytes: Option<u64>,
    /// Send streams in pieces of so many bytes, wherever that cuts them.
    #[arg(long)]
    pub(crate) split_bytes: Option<usize>,
    /// A model to serve; may be given more than once.
    #[arg(long = "model", default_value = "scripted")]
    pub(crate) models: Vec<String>,
    /// Context in tokens, prompt and answer together.
    #[arg(long, default_value_t = 8192)]
    pub(crate) ctx: u32,
    /// Bearer token that requests under /v1 must carry.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// File to append one line of JSON to for each request that starts, ends or is aborted.
    #[arg(long)]
    pub(crate) log: Option<Utf8PathBuf>,
    /// Obey directives in prompts.
    #[arg(long)]
    pub(crate) directives: bool,
    /// Exit when standard input closes.
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
}
