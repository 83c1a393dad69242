use std::process::Command;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::process;

/// The Python of an environment in `folder` that holds what the file `requirements` pins; it is made where
/// it is missing or holds something else.
pub(crate) fn python(root: &Utf8Path, folder: &str, requirements: &str) -> Result<Utf8PathBuf> {
    let venv = root.join(folder);
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string(root.join(requirements))
        .with_context(|| format!("cannot read {requirements}"))?;
    let stamp = venv.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    process::run(Command::new("python3").args(["-m", "venv", venv.as_str()]))?;
    let install = ["-m", "pip", "install", "--quiet", "--progress-bar", "off", "--only-binary"];
    process::run(
        Command::new(&python)
            .args(install)
            .args([":all:", "--requirement", requirements])
            .current_dir(root),
    )?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {stamp}"))?;
    Ok(python)
}
