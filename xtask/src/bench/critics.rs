use anyhow::Result;
use camino::Utf8Path;

use crate::{bench::venv, process};

const REQUIREMENTS: &str = "benches/critic-bench/requirements.txt";

/// Builds the program that measures, and runs it; the Python environment for LangGraph is made on the way.
pub(crate) fn run(root: &Utf8Path, check: bool) -> Result<()> {
    let mut arguments = vec!["run", "--release", "--quiet", "--package", "critic-bench", "--"];
    if check {
        arguments.push("--check");
    }
    let python = venv::python(root, "target/bench/venv", REQUIREMENTS);
    match &python {
        Ok(python) => arguments.extend(["--langgraph", python.as_str()]),
        Err(error) => eprintln!("note: LangGraph is left out: {error:#}"),
    }
    process::run(&mut process::cargo(root, arguments))
}
