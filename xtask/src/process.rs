use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

/// Cargo as it runs this program, in the workspace and with the workspace's own target folder: tests look
/// for what `setup` fetched, and for built programs, under `target/`.
pub(crate) fn cargo<'a>(root: &Utf8Path, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root).env_remove("CARGO_TARGET_DIR");
    command
}

/// Features that are off by default and checked nevertheless.
pub(crate) const FEATURES: &str = "critic-executor/cel,critic-executor/config,\
     critic-executor/json-schema,critic-executor/metrics,critics/config,critics/http,critics/json-schema,\
     orchestratord/otlp";

/// Builds all programs as `cargo test` would: tokio, hyper and all that stands on them come in one kind
/// only. Naming the examples makes cargo count the features that only tests ask for.
pub(crate) fn build_programs(root: &Utf8Path) -> Result<()> {
    let arguments = ["build", "--workspace", "--bins", "--examples", "--features", FEATURES];
    run(&mut cargo(root, arguments))
}

/// Where [`build_programs`] leaves a program.
pub(crate) fn program(root: &Utf8Path, name: &str) -> Utf8PathBuf {
    root.join("target/debug").join(name)
}

/// Runs a command to its end with this program's own output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", words(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", words(command));
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed; its errors go where this program's go.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", words(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", words(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no UTF-8", words(command)))
}

/// A command as a person would type it.
pub(crate) fn words(command: &Command) -> String {
    let program = Utf8Path::from_path(command.get_program().as_ref());
    let name = program.and_then(Utf8Path::file_name).unwrap_or("a program");
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    let all: Vec<_> = std::iter::once(name.into()).chain(arguments).collect();
    format!("`{}`", all.join(" "))
}
