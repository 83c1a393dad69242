//! Files of the checkout.

use std::process::Command;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

/// The workspace that `start` lies in: the nearest folder above it, or itself, that holds `.specs/`.
///
/// # Errors
/// When no folder above `start` does.
pub fn workspace_root(start: &Utf8Path) -> Result<Utf8PathBuf> {
    let root = start.ancestors().find(|folder| folder.join(".specs").is_dir());
    root.map(Utf8Path::to_path_buf).with_context(|| {
        format!("{start} is not inside the workspace; no folder above it has .specs/")
    })
}

/// Every `.rs` and `.py` file that git tracks or would track, with its text, in path order.
///
/// # Errors
/// When git does not answer or a file cannot be read as UTF-8.
pub fn test_sources(root: &Utf8Path) -> Result<Vec<(Utf8PathBuf, String)>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            "*.rs",
            "*.py",
        ])
        .current_dir(root)
        .output()
        .context("cannot run git; install it")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("git named a file that is not UTF-8")?;
    let mut paths: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        let full = root.join(path);
        // A file that was deleted but not yet committed is still listed.
        if full.is_file() {
            let text =
                std::fs::read_to_string(&full).with_context(|| format!("cannot read {full}"))?;
            sources.push((Utf8PathBuf::from(path), text));
        }
    }
    Ok(sources)
}
