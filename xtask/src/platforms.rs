//! Library crates, type-checked for platforms that this machine is not.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::process;

/// Where the daemons do not run and library crates nevertheless build.
const TARGETS: [&str; 2] = ["x86_64-pc-windows-msvc", "aarch64-apple-darwin"];

/// Crates that need a Unix file system, and say so when they are built elsewhere: modes that keep files
/// private, owners of files, and folders that can be synced.
const UNIX_ONLY: [&str; 3] = ["event-log", "handoff", "store-sqlite"];

/// A compiler and the sources of its standard library, in Debian's packages. Used where the own toolchain has
/// no standard library for a target.
const DEBIAN: [&str; 2] = ["rustc-web", "rust-web-src"];

/// What the compiler's packages depend on and is fetched with them; the rest is on every Debian machine that
/// can link a program.
const LIBRARIES: [&str; 5] = ["libstd-rust-web", "libllvm", "libz3", "libedit", "libxml2"];

/// `cargo xtask platforms`
#[derive(Debug, clap::Args)]
pub(crate) struct Platforms {
    /// Targets in place of Windows and macOS.
    targets: Vec<String>,
}

/// Checks every library crate for every target. Parts in C are not compiled: that takes a C compiler for the
/// target, and says nothing about this project's code.
pub(crate) fn run(root: &Utf8Path, wanted: &Platforms) -> Result<()> {
    let folder = root.join("target/platforms");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {folder}"))?;
    let silent_compiler = program(&folder, "no-compiler", SILENT_COMPILER)?;
    let mut targets: Vec<&str> = wanted.targets.iter().map(String::as_str).collect();
    if targets.is_empty() {
        targets = TARGETS.to_vec();
    }
    for target in targets {
        let mut command = process::cargo(root, ["check", "--target", target, "--target-dir"]);
        command.arg(folder.join("target"));
        for tool in ["CC", "CXX", "AR"] {
            command.env(format!("{tool}_{}", target.replace('-', "_")), &silent_compiler);
        }
        if !has_standard_library(target)? {
            let compiler = debian_compiler(&folder)?;
            command.env("RUSTC", compiler).env("RUSTC_BOOTSTRAP", "1");
            command.arg("-Zbuild-std=std,panic_abort");
        }
        let unix_only = if target.contains("windows") { &UNIX_ONLY[..] } else { &[] };
        let libraries = libraries(root)?;
        for library in libraries.iter().filter(|name| !unix_only.contains(&name.as_str())) {
            command.args(["--package", library]);
        }
        process::run(&mut command)?;
        println!("{target}: the library crates build{}", without(unix_only));
    }
    Ok(())
}

fn without(unix_only: &[&str]) -> String {
    if unix_only.is_empty() {
        return String::new();
    }
    format!(", but {}, which need a Unix file system", unix_only.join(" and "))
}

/// Stands in for a compiler and an archiver: leaves an empty file where its output is expected.
const SILENT_COMPILER: &str = r#"#!/bin/sh
before=
for argument in "$@"; do
    case "$before" in -o) : > "$argument" ;; esac
    case "$argument" in
        -Fo* | /Fo*) : > "${argument#?Fo}" ;;
        -out:* | /out:* | -OUT:* | /OUT:*) : > "${argument#?????}" ;;
        *.a | *.lib) : > "$argument" ;;
        -E) echo clang ;;
    esac
    before=$argument
done
"#;

fn program(folder: &Utf8Path, name: &str, text: &str) -> Result<Utf8PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {path}"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {path} a program"))?;
    Ok(path)
}

/// All members of the workspace under `crates/` and `contracts/` that are not programs.
fn libraries(root: &Utf8Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in [root.join("crates"), root.join("contracts")] {
        for entry in folder.read_dir_utf8().with_context(|| format!("cannot list {folder}"))? {
            let path = entry.with_context(|| format!("cannot list {folder}"))?.into_path();
            if path.join("src/lib.rs").exists() && !path.join("src/main.rs").exists() {
                names.extend(path.file_name().map(str::to_owned));
            }
        }
    }
    names.sort();
    Ok(names)
}

fn has_standard_library(target: &str) -> Result<bool> {
    let mut command = Command::new("rustc");
    let folder = process::output(command.args(["--print", "target-libdir", "--target", target]))?;
    Ok(Utf8Path::new(folder.trim()).exists())
}

/// Debian's compiler, unpacked below `folder`.
fn debian_compiler(folder: &Utf8Path) -> Result<Utf8PathBuf> {
    let compiler = folder.join("rustc");
    if compiler.exists() {
        return Ok(compiler);
    }
    let toolchain = folder.join("toolchain");
    fs::create_dir_all(&toolchain).with_context(|| format!("cannot create {toolchain}"))?;
    let mut download = Command::new("apt-get");
    download.args(["download", "--quiet"]).args(packages()?).current_dir(&toolchain);
    process::run(&mut download)?;
    for entry in toolchain.read_dir_utf8().with_context(|| format!("cannot list {toolchain}"))? {
        let path = entry.with_context(|| format!("cannot list {toolchain}"))?.into_path();
        if path.extension() == Some("deb") {
            process::run(Command::new("dpkg").args(["-x", path.as_str(), toolchain.as_str()]))?;
        }
    }
    let libraries = toolchain.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let rustc = toolchain.join("usr/bin/rustc");
    let start = format!("#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {rustc} \"$@\"\n");
    program(folder, "rustc", &start)
}

/// [`DEBIAN`] with the [`LIBRARIES`] that these packages want.
fn packages() -> Result<Vec<String>> {
    let mut packages = DEBIAN.map(str::to_owned).to_vec();
    let mut asked = 0;
    while let Some(package) = packages.get(asked) {
        let text = process::output(Command::new("apt-cache").args(["depends", package])).context(
            "this needs Debian, or the targets' standard libraries by `rustup target add`",
        )?;
        let depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let wanted: Vec<String> = depends
            .filter(|name| LIBRARIES.iter().any(|start| name.starts_with(start)))
            .filter(|name| !packages.iter().any(|known| known == name))
            .map(str::to_owned)
            .collect();
        packages.extend(wanted);
        asked += 1;
    }
    Ok(packages)
}
