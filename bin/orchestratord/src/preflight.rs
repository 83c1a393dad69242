use camino::Utf8Path;
use config_schema::{Loaded, Origin, Pool, Problem};

use crate::{
    embedded_pool, entrance,
    environment::{Environment, WrongConfig},
    pools, provisioning, telemetry, tokens,
};

/// Checks what a start or a reload needs beside a configuration that is right in itself: the files that it
/// names, and what only the parts of the daemon know.
///
/// # Errors
/// All that is wrong, each with where it was given.
pub(crate) fn check(loaded: &Loaded, environment: &Environment) -> Result<(), WrongConfig> {
    let config = &loaded.config;
    let mut problems = Vec::new();
    let mut note = |path: &[&str], error: &anyhow::Error| {
        let origin = loaded.origin(path).cloned().unwrap_or(Origin::Nowhere);
        let message = format!("{error:#}");
        problems.push(Problem { origin, key: path.join("."), value: None, message });
    };
    if let Err(error) = http_edge::check_bind(config.server.addr, config.auth.is_required()) {
        note(&["server", "addr"], &error.into());
    }
    if let Err(error) = tokens::access(&config.auth) {
        note(&["auth"], &error);
    }
    if let Err(error) = entrance::tls(&config.tls) {
        note(&["tls"], &error);
    }
    for (id, pool) in &config.pools {
        if let Pool::Candle(candle) = pool
            && let Err(error) = embedded_pool::check_version(candle)
        {
            note(&["pools", id, "engine_version"], &error);
        } else if let Err(error) = pools::Setup::new(id, pool, config) {
            note(&["pools", id], &error);
        }
    }
    if let Err(error) = provisioning::check(environment, config) {
        note(&["egress"], &error);
    }
    if let Err((key, error)) = telemetry::check(&config.telemetry) {
        note(&["telemetry", key], &error);
    }
    match environment.data_dir(config) {
        Err(error) => note(&["data_dir"], &error),
        Ok(data_dir) => {
            if let Err(error) = folder_is_possible(&data_dir) {
                note(&["data_dir"], &error);
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(WrongConfig::new(&problems)) }
}

/// Whether the folder is there, or its first parent that is there is a folder.
fn folder_is_possible(path: &Utf8Path) -> anyhow::Result<()> {
    let standing = path.ancestors().find(|ancestor| ancestor.exists());
    let is_folder = standing.is_none_or(|standing| standing.is_dir());
    anyhow::ensure!(is_folder, "{path} cannot be a folder; give another place");
    Ok(())
}
