use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use config_schema::{Config, ConfigFile, Loaded, Problem};
use model_provisioner::{PipConfig, PipSources};

use crate::cli::Cli;

/// What the process was started with, read once.
pub(crate) struct Environment {
    variables: Vec<(String, String)>,
}

/// The configuration is wrong; the text lists every problem.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongConfig(String);

impl WrongConfig {
    pub(crate) fn new(problems: &[Problem]) -> Self {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Self(lines.join("\n"))
    }

    fn unread(path: &Utf8Path, error: &std::io::Error) -> Self {
        Self(format!("cannot read the configuration {path}: {error}"))
    }
}

impl Environment {
    pub(crate) fn read() -> Self {
        // A variable that is not UTF-8 cannot be one of ours.
        let texts = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self { variables: texts.collect() }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name)?;
        (!found.1.is_empty()).then_some(found.1.as_str())
    }

    /// Defaults, file, environment and flags, in rising precedence.
    pub(crate) fn load(&self, cli: &Cli) -> anyhow::Result<Loaded> {
        let file = self.config_file(cli)?;
        let file = file.as_ref().map(|(path, text)| ConfigFile { name: path.as_str(), text });
        let mut flags = Vec::new();
        if let Some(addr) = cli.addr {
            flags.push(("server.addr", addr.to_string()));
        }
        if let Some(data_dir) = &cli.data_dir {
            flags.push(("data_dir", data_dir.to_string()));
        }
        let own =
            |(name, _): &&(String, String)| name.starts_with("ORCHD_") && name != "ORCHD_CONFIG";
        let variables: Vec<(String, String)> = self.variables.iter().filter(own).cloned().collect();
        config_schema::load_with_origins(file, &variables, &flags)
            .map_err(|problems| WrongConfig::new(&problems).into())
    }

    fn config_file(&self, cli: &Cli) -> anyhow::Result<Option<(Utf8PathBuf, String)>> {
        if let Some(path) = &cli.config {
            let text =
                std::fs::read_to_string(path).map_err(|error| WrongConfig::unread(path, &error))?;
            return Ok(Some((path.clone(), text)));
        }
        let Some(folder) = self.folder("XDG_CONFIG_HOME", ".config") else { return Ok(None) };
        let path = folder.join("orchestratord/config.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WrongConfig::unread(&path, &error).into()),
        }
    }

    /// Where everything is kept.
    pub(crate) fn data_dir(&self, config: &Config) -> anyhow::Result<Utf8PathBuf> {
        if let Some(configured) = &config.data_dir {
            return Ok(configured.clone());
        }
        if let Some(given) = self.get("STATE_DIRECTORY") {
            return Ok(given.into());
        }
        match self.folder("XDG_STATE_HOME", ".local/state") {
            Some(folder) => Ok(folder.join("orchestratord")),
            None => bail!("no place for data: set data_dir, ORCHD_DATA_DIR or HOME"),
        }
    }

    fn folder(&self, variable: &str, below_home: &str) -> Option<Utf8PathBuf> {
        let given = self.get(variable).map(Utf8PathBuf::from);
        given.or_else(|| self.get("HOME").map(|home| Utf8Path::new(home).join(below_home)))
    }

    /// Where this machine's pip finds packages. Files that are missing or cannot be read count as
    /// empty, as they do for pip.
    pub(crate) fn pip_config(&self) -> anyhow::Result<PipConfig> {
        let mut paths: Vec<Utf8PathBuf> = vec!["/etc/pip.conf".into()];
        paths.extend(self.folder("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("pip/pip.conf")));
        paths.extend(self.get("HOME").map(|home| Utf8Path::new(home).join(".pip/pip.conf")));
        paths.extend(self.get("VIRTUAL_ENV").map(|venv| Utf8Path::new(venv).join("pip.conf")));
        paths.extend(self.get("PIP_CONFIG_FILE").map(Utf8PathBuf::from));
        let texts: Vec<String> =
            paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
        let files: Vec<&str> = texts.iter().map(String::as_str).collect();
        let sources = PipSources {
            files: &files,
            index_url: self.get("PIP_INDEX_URL"),
            extra_index_url: self.get("PIP_EXTRA_INDEX_URL"),
            no_index: self.get("PIP_NO_INDEX"),
            cert: self.get("PIP_CERT"),
        };
        PipConfig::read(&sources).context("cannot use the machine's pip configuration")
    }

    /// A file of certificates to trust besides the system's.
    pub(crate) fn certificate_file(&self) -> Option<Utf8PathBuf> {
        self.get("SSL_CERT_FILE").map(Utf8PathBuf::from)
    }

    /// Where the service manager listens.
    pub(crate) fn notify_socket(&self) -> Option<&str> {
        self.get("NOTIFY_SOCKET")
    }

    /// Time within which the service manager wants to hear from this process, in microseconds.
    pub(crate) fn watchdog_usec(&self, process: u32) -> Option<u64> {
        let is_ours = self.get("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(process));
        let wanted = self.get("WATCHDOG_USEC")?.parse().ok().filter(|usec| *usec > 0);
        wanted.filter(|_| is_ours)
    }

    /// The proxy that this machine's programs use for `https`.
    pub(crate) fn proxy(&self) -> Option<&str> {
        self.get("https_proxy").or_else(|| self.get("HTTPS_PROXY"))
    }
}
