use camino::{Utf8Path, Utf8PathBuf};

use crate::ProvisionError;

/// The file at `path` without symbolic links, if it lies under one of `roots`. Blocks on the file
/// system.
pub(crate) fn resolve(
    path: &Utf8Path,
    roots: &[Utf8PathBuf],
) -> Result<Utf8PathBuf, ProvisionError> {
    let outside = || ProvisionError::OutsideRoots { path: path.to_owned() };
    // A path that is outside as written is refused before it is looked at, so that nobody learns from
    // the error which files exist there.
    if !roots.iter().any(|root| path.starts_with(root)) && !is_below(path, roots) {
        return Err(outside());
    }
    let real = path
        .canonicalize_utf8()
        .map_err(|source| ProvisionError::File { path: path.to_owned(), source })?;
    if is_below(&real, roots) { Ok(real) } else { Err(outside()) }
}

/// Whether a path without symbolic links lies under one of `roots`. Roots that do not exist hold
/// nothing.
pub(crate) fn is_below(real: &Utf8Path, roots: &[Utf8PathBuf]) -> bool {
    let real_roots = roots.iter().filter_map(|root| root.canonicalize_utf8().ok());
    real_roots.into_iter().any(|root| real.starts_with(root))
}
