use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use camino::Utf8Path;
use xtask::RanTests;

use crate::crash::{Crash, Engine};
use crate::{commands, crash, embedding, process, setup};

type Step = fn(&Utf8Path) -> Result<()>;

/// In this order: what is cheap and often wrong comes first, what needs everything else comes later. What
/// compiles with other features than the rest comes last.
const STEPS: [(&str, Step); 15] = [
    ("setup", setup::run),
    ("format", |root| cargo(root, &["fmt", "--all", "--check"])),
    ("layers", commands::layers),
    ("specs", |root| commands::check_specs(root, None)),
    ("clippy", |root| {
        let all = ["clippy", "--workspace", "--all-targets", "--features", process::FEATURES];
        cargo(root, &[&all[..], &["--", "--deny", "warnings"]].concat())
    }),
    // Tests start the programs of bin/ and testkit, which `cargo test` alone does not build for them.
    ("build", process::build_programs),
    ("contracts", |root| {
        let daemon = process::program(root, "orchestratord");
        commands::contracts(root, true, std::process::Command::new(daemon))
    }),
    ("test", test),
    ("crash scripted", |root| crash(root, Engine::Scripted, 40, None)),
    ("crash forgetful", |root| crash(root, Engine::Scripted, 20, Some(2_000))),
    ("crash candle", |root| crash(root, Engine::Candle, 3, None)),
    ("simulation", |root| commands::sim(root, &["--seeds".to_owned(), "300".to_owned()])),
    ("fuzz gguf", |root| {
        let example = ["run", "--package", "gguf", "--features", "testing", "--example", "fuzz"];
        cargo(root, &[&example[..], &["--", "--seconds", "60", "--seed", "1"]].concat())
    }),
    ("default features", |root| {
        cargo(root, &["check", "-p", "critics", "-p", "critic-executor", "-p", "orchestratord"])
    }),
    ("embedding", embedding::check),
];

/// What the tests printed, for `specs --check --ran`.
const TEST_OUTPUT: &str = "target/ci/tests.txt";

/// Runs every step, stops at the first that fails, and ends with a table of times and the test count.
pub(crate) fn run(root: &Utf8Path) -> Result<()> {
    let mut times = Vec::new();
    for (name, step) in STEPS {
        println!("\n==> {name}");
        let start = now();
        let outcome = step(root);
        let seconds = now().duration_since(start).as_secs_f64();
        times.push((name, seconds));
        if outcome.is_err() {
            print_times(&times);
        }
        outcome.with_context(|| format!("ci failed in its step `{name}`"))?;
        println!("<== {name}: {seconds:.1} s");
    }
    print_times(&times);
    let output = root.join(TEST_OUTPUT);
    let output =
        std::fs::read_to_string(&output).with_context(|| format!("cannot read {output}"))?;
    // A failed test has ended this run before, so none is left to count.
    println!("\ntests: {} passed, 0 failed", RanTests::parse(&output).count());
    Ok(())
}

fn print_times(times: &[(&str, f64)]) {
    println!();
    for (name, seconds) in times {
        println!("{name:<14} {seconds:>8.1} s");
    }
    println!("{:<14} {:>8.1} s", "all", times.iter().map(|(_, seconds)| seconds).sum::<f64>());
}

fn cargo(root: &Utf8Path, arguments: &[&str]) -> Result<()> {
    process::run(&mut process::cargo(root, arguments.iter().copied()))
}

fn crash(root: &Utf8Path, engine: Engine, kills: u32, retention_ms: Option<u64>) -> Result<()> {
    crash::run(root, &Crash { engine, kills, seed: 1, retention_ms, keep: false })
}

/// Unit, integration and documentation tests; then every requirement marked verified must have been named
/// by one that passed.
fn test(root: &Utf8Path) -> Result<()> {
    let path = root.join(TEST_OUTPUT);
    let folder = path.parent().expect("the path of the test output has a folder");
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
    let mut file = File::create(&path).with_context(|| format!("cannot create {path}"))?;
    let mut command =
        process::cargo(root, ["test", "--workspace", "--features", process::FEATURES]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", process::words(&command)))?;
    let mut stdout = BufReader::new(child.stdout.take().expect("the child's output is piped"));
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line).context("cannot read what the tests print")? > 0 {
        // A test may print anything, so bytes that are not UTF-8 are shown as such.
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        file.write_all(text.as_bytes()).with_context(|| format!("cannot write {path}"))?;
        line.clear();
    }
    let status = child.wait().context("cannot wait for the tests")?;
    if !status.success() {
        bail!("{} ended with {status}", process::words(&command));
    }
    commands::check_specs(root, Some(&path))
}

#[expect(clippy::disallowed_methods, reason = "the clock is read to tell how long a step took")]
fn now() -> Instant {
    Instant::now()
}
