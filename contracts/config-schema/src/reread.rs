use toml::{Table as TomlTable, Value as TomlValue};

use crate::{
    Catalog, Config, Log, Scheduling, Server, Stream, effective::without_credentials,
    reader::quoted,
};

/// A key with another value than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path.
    pub key: String,
    /// Its value before, as in a file, with credentials masked; `None` where it had none.
    pub from: Option<String>,
    /// Its value now, likewise.
    pub to: Option<String>,
}

impl Config {
    /// What holds once a daemon that runs with this has read `wanted`: keys that need a restart stay as they
    /// are. So does whether TLS is spoken; and whether tokens are needed, where the address is one that others
    /// can reach: an address that waits for a restart must not be opened by what comes before it.
    #[must_use]
    pub fn reread(&self, wanted: &Self) -> Self {
        let wanted = wanted.clone();
        let takes_auth = wanted.auth.is_required() || self.server.addr.ip().is_loopback();
        let takes_tls = wanted.tls.cert.is_some() == self.tls.cert.is_some();
        Self {
            auth: if takes_auth { wanted.auth } else { self.auth.clone() },
            tls: if takes_tls { wanted.tls } else { self.tls.clone() },
            profile: self.profile,
            data_dir: self.data_dir.clone(),
            store: self.store.clone(),
            egress: self.egress.clone(),
            operations: self.operations.clone(),
            handoff: self.handoff.clone(),
            server: Server {
                addr: self.server.addr,
                metrics_addr: self.server.metrics_addr,
                ..wanted.server
            },
            scheduling: Scheduling {
                idle_ms: self.scheduling.idle_ms,
                poison_limit: self.scheduling.poison_limit,
                ..wanted.scheduling
            },
            stream: Stream { coalesce_ms: self.stream.coalesce_ms, ..wanted.stream },
            catalog: Catalog { recheck_ms: self.catalog.recheck_ms, ..wanted.catalog },
            log: Log { format: self.log.format, ..wanted.log },
            telemetry: self.telemetry.clone(),
            ..wanted
        }
    }

    /// The keys whose values differ from those of `to`, in the order of their paths.
    #[must_use]
    pub fn changes(&self, to: &Self) -> Vec<Change> {
        let table = |config| TomlTable::try_from(config).expect("the configuration is TOML");
        let mut changes = Vec::new();
        compare("", &table(self), &table(to), &mut changes);
        changes
    }
}

fn compare(parent: &str, from: &TomlTable, to: &TomlTable, changes: &mut Vec<Change>) {
    let mut keys: Vec<&String> = from.keys().chain(to.keys()).collect();
    keys.sort();
    keys.dedup();
    let none = TomlTable::new();
    for key in keys {
        let (from, to) = (from.get(key), to.get(key));
        if from == to {
            continue;
        }
        let dot = if parent.is_empty() { "" } else { "." };
        let path = format!("{parent}{dot}{}", quoted(key));
        let inner = |value: Option<&TomlValue>| match value {
            Some(TomlValue::Table(table)) => Some(table.clone()),
            _ => None,
        };
        match (inner(from), inner(to)) {
            (None, None) => changes.push(Change { key: path, from: shown(from), to: shown(to) }),
            (from, to) => {
                let (from, to) = (from.as_ref(), to.as_ref());
                compare(&path, from.unwrap_or(&none), to.unwrap_or(&none), changes);
            }
        }
    }
}

fn shown(value: Option<&TomlValue>) -> Option<String> {
    value.map(|value| without_credentials(value).to_string())
}
