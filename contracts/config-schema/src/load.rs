use std::sync::Arc;

use crate::{
    Config, Problem,
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
    let mut problems = Vec::new();
    let mut root = file
        .map_or_else(Table::new, |file| read_toml(&Arc::from(file.name), file.text, &mut problems));
    apply_environment(&mut root, environment, &mut problems);
    apply_flags(&mut root, flags, &mut problems);
    let config = Reader::root(&root, &mut problems).read_all(Config::read);
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}
