use std::process::Command;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::process;

const REQUIREMENTS: &str = "benches/critic-bench/requirements.txt";

/// Builds the program that measures, and runs it; the Python environment for LangGraph is made on the way.
pub(crate) fn run(root: &Utf8Path, check: bool) -> Result<()> {
    let mut arguments = vec!["run", "--release", "--quiet", "--package", "critic-bench", "--"];
    if check {
        arguments.push("--check");
    }
    let python = langgraph(root);
    match &python {
        Ok(python) => arguments.extend(["--langgraph", python.as_str()]),
        Err(error) => eprintln!("note: LangGraph is left out: {error:#}"),
    }
    process::run(&mut process::cargo(root, arguments))
}

/// The Python of an environment that holds what the requirements pin.
fn langgraph(root: &Utf8Path) -> Result<Utf8PathBuf> {
    let venv = root.join("target/bench/venv");
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string(root.join(REQUIREMENTS))
        .with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let stamp = venv.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    process::run(Command::new("python3").args(["-m", "venv", venv.as_str()]))?;
    let install = ["-m", "pip", "install", "--quiet", "--progress-bar", "off", "--only-binary"];
    process::run(
        Command::new(&python)
            .args(install)
            .args([":all:", "--requirement", REQUIREMENTS])
            .current_dir(root),
    )?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {stamp}"))?;
    Ok(python)
}
