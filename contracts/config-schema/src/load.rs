use std::sync::Arc;

use crate::{
    Config, Loaded, Problem,
    overlay::{apply_environment, apply_flags},
    reader::Reader,
    tree::{Table, read_toml},
};

/// A configuration file that was read.
#[derive(Debug, Clone, Copy)]
pub struct ConfigFile<'a> {
    /// Its name, for problems.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// Puts the sources together: defaults, then `file`, then the variables of `environment` that begin with
/// `ORCHD_`, then `flags`, which are key paths such as `server.addr` with their values.
///
/// # Errors
/// Everything that is wrong, ordered by place. Of a file that is not TOML, the part that could be read is
/// checked too.
pub fn load(
    file: Option<ConfigFile<'_>>,
    environment: &[(String, String)],
    flags: &[(&str, String)],
) -> Result<Config, Vec<Problem>> {
    load_with_origins(file, environment, flags).map(|loaded| loaded.config)
}

/// As [`load`], and keeps where each value comes from.
///
/// # Errors
/// As [`load`].
pub fn load_with_origins(
    file: Option<ConfigFile<'_>>,
    environment: &[(String, String)],
    flags: &[(&str, String)],
) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut root = file
        .map_or_else(Table::new, |file| read_toml(&Arc::from(file.name), file.text, &mut problems));
    apply_environment(&mut root, environment, &mut problems);
    apply_flags(&mut root, flags, &mut problems);
    let config = Reader::root(&root, &mut problems).read_all(Config::read);
    if problems.is_empty() {
        return Ok(Loaded::new(config, root));
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}
