//! A service outside of the workspace that depends on `critic-executor` by its path and runs a critic.

use anyhow::{Context, Result, bail};
use camino::Utf8Path;

use crate::process;

/// Below `target/`, but a workspace of its own.
const FOLDER: &str = "target/ci/outside";

const MANIFEST: &str = r#"[package]
name = "outside"
version = "0.0.0"
edition = "2024"

[dependencies]
critic-executor = { path = "../../../crates/critic-executor" }

[workspace]
"#;

/// Five lines within `main`, and nothing else of this project.
const MAIN: &str = r#"use critic_executor::{CriticContext, Finding, RunInput, SimpleOrchestrator};

fn main() {
    let short = |ctx: CriticContext| async move { Ok(Finding::new(if ctx.input().len() > 99 { 0.7 } else { 0.0 }).into()) };
    let critics = SimpleOrchestrator::new().critic("short", short);
    let report = critics.run_blocking(RunInput::new("a text to judge")).expect("one critic is a plan");
    println!("{}", report.decision().verdict.as_str());
    assert_eq!(report.decision().coverage.ratio(), 1.0);
}
"#;

/// Checks that such a service compiles, without the network, and that nothing else of this project comes along.
pub(crate) fn check(root: &Utf8Path) -> Result<()> {
    let folder = root.join(FOLDER);
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {path}"))
    };
    let source = folder.join("src");
    std::fs::create_dir_all(&source).with_context(|| format!("cannot create {source}"))?;
    write("Cargo.toml", MANIFEST)?;
    write("src/main.rs", MAIN)?;
    // The versions that are there already; what the service does not need is dropped from the copy.
    let (from, to) = (root.join("Cargo.lock"), folder.join("Cargo.lock"));
    std::fs::copy(&from, &to).with_context(|| format!("cannot copy {from}"))?;
    let target = root.join("target");
    let mut command = process::cargo(&folder, ["check", "--offline", "--target-dir"]);
    process::run(command.arg(target))?;
    let arguments = ["tree", "--offline", "--edges", "normal", "--prefix", "none"];
    let tree = process::output(&mut process::cargo(&folder, arguments))?;
    // Packages from a folder are told with it.
    let own = tree.lines().filter(|line| line.contains("(/"));
    let others: Vec<_> = own
        .filter(|line| !line.starts_with("outside ") && !line.starts_with("critic-executor "))
        .collect();
    if !others.is_empty() {
        bail!("critic-executor brings other crates of this project along: {}", others.join(", "));
    }
    Ok(())
}
