use std::process::Command;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::{bench::venv, process};

const REQUIREMENTS: &str = "benches/daemon-bench/requirements.txt";

/// What of the daemon is measured.
#[derive(Debug, Args, Default)]
pub(crate) struct Daemon {
    /// Flags of the program that measures, such as `--only relay --rounds 1`; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<String>,
}

/// Builds the daemon and the program that measures, brings what they are compared with, and runs it; then
/// the benchmarks of single crates.
pub(crate) fn run(root: &Utf8Path, daemon: &Daemon, check: bool) -> Result<()> {
    let build = ["build", "--release", "--package", "orchestratord", "--package", "daemon-bench"];
    process::run(&mut process::cargo(root, build))?;
    let build = ["build", "--release", "--package", "testkit", "--bin", "scripted-engine"];
    process::run(&mut process::cargo(root, build))?;
    let release = root.join("target/release");
    let folder = root.join("target/bench/daemon");
    let mut bench = Command::new(release.join("daemon-bench"));
    bench
        .current_dir(root)
        .args(["--daemon", release.join("orchestratord").as_str()])
        .args(["--engine", release.join("scripted-engine").as_str()])
        .args(["--folder", folder.as_str()]);
    if let Some(nginx) = nginx() {
        bench.args(["--nginx", nginx.as_str()]);
    } else {
        eprintln!("note: nginx is left out: it is not installed (on Debian: the package nginx)");
    }
    match venv::python(root, "target/bench/venv-daemon", REQUIREMENTS) {
        Ok(python) => {
            bench.args(["--vllm-router", python.with_file_name("vllm-router").as_str()]);
        }
        Err(error) => eprintln!("note: vllm-router is left out: {error:#}"),
    }
    if check {
        bench.arg("--check");
    }
    process::run(bench.args(&daemon.flags))?;
    if !daemon.flags.is_empty() {
        return Ok(());
    }
    for (package, bench) in [("orchestrator-core", "steps"), ("placement", "decide")] {
        process::run(&mut process::cargo(root, ["bench", "--package", package, "--bench", bench]))?;
    }
    embedded(root)
}

/// The engine in the daemon, and llama.cpp on the same processor.
fn embedded(root: &Utf8Path) -> Result<()> {
    crate::setup::run(root)?;
    let model = crate::setup::model_file(root);
    println!("\nengine-candle");
    let example = ["run", "--release", "--package", "engine-candle", "--example", "speed", "--"];
    process::run(&mut process::cargo(root, example.into_iter().chain([model.as_str()])))?;
    println!("\nllama.cpp");
    process::run(
        Command::new(root.join("target/setup/venv/bin/python"))
            .args(["crates/engine-candle/examples/speed_llama_cpp.py", model.as_str()])
            .current_dir(root),
    )
}

/// Where nginx is; packages put it where only administrators look.
fn nginx() -> Option<Utf8PathBuf> {
    let folders =
        ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
    folders.iter().map(|folder| Utf8Path::new(folder).join("nginx")).find(|path| path.exists())
}
