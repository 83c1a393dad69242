use std::fmt;

use camino::Utf8PathBuf;
use url::Url;

/// The public index of Python packages, used where pip's configuration names no other.
pub const DEFAULT_INDEX: &str = "https://pypi.org/simple/";

/// What is known of the machine's pip configuration. Whoever makes it reads the files and variables.
#[derive(Clone, Copy, Default)]
pub struct PipSources<'a> {
    /// Contents of pip's configuration files, the later ones going before the earlier: those of the
    /// machine, of the user, of the virtual environment, and the one that `PIP_CONFIG_FILE` names.
    pub files: &'a [&'a str],
    /// `PIP_INDEX_URL`.
    pub index_url: Option<&'a str>,
    /// `PIP_EXTRA_INDEX_URL`.
    pub extra_index_url: Option<&'a str>,
    /// `PIP_NO_INDEX`.
    pub no_index: Option<&'a str>,
    /// `PIP_CERT`.
    pub cert: Option<&'a str>,
}

/// Where pip would look for packages, and what it would trust. Local folders (`find-links`) are not
/// indexes and are left out.
#[derive(Clone, PartialEq, Eq)]
pub struct PipConfig {
    /// The indexes, in the order in which they are asked. None where pip may use none. They may hold
    /// credentials.
    pub index_urls: Vec<Url>,
    /// A file of certificates to trust.
    pub cert: Option<Utf8PathBuf>,
}

/// A setting of pip cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "pip's setting `{key}` holds something that is no URL of an index; check `pip config list`"
)]
pub struct PipConfigError {
    /// The setting. Its value is not shown, as it may hold credentials.
    pub key: &'static str,
}

/// Without the credentials that indexes may hold.
impl fmt::Debug for PipConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.index_urls.iter().map(Url::host_str).collect();
        f.debug_struct("PipConfig").field("index_urls", &hosts).field("cert", &self.cert).finish()
    }
}

impl PipConfig {
    /// Reads a configuration as pip does: the environment goes before files, the section of a command
    /// before the global one.
    ///
    /// # Errors
    /// [`PipConfigError`] for an index that is no URL.
    pub fn read(sources: &PipSources<'_>) -> Result<Self, PipConfigError> {
        let setting = |key: &str, env: Option<&str>| -> Option<String> {
            env.filter(|value| !value.trim().is_empty()).map(str::to_owned).or_else(|| {
                let of = |section| sources.files.iter().rev().find_map(|f| value(f, section, key));
                of("install").or_else(|| of("global"))
            })
        };
        let cert = setting("cert", sources.cert).map(Utf8PathBuf::from);
        if setting("no-index", sources.no_index).is_some_and(|value| is_true(&value)) {
            return Ok(Self { index_urls: Vec::new(), cert });
        }
        let main = setting("index-url", sources.index_url);
        let main = url("index-url", main.as_deref().unwrap_or(DEFAULT_INDEX).trim())?;
        let extra = setting("extra-index-url", sources.extra_index_url).unwrap_or_default();
        let mut index_urls = vec![main];
        for text in extra.split_whitespace() {
            index_urls.push(url("extra-index-url", text)?);
        }
        Ok(Self { index_urls, cert })
    }
}

fn url(key: &'static str, text: &str) -> Result<Url, PipConfigError> {
    let url = Url::parse(text).map_err(|_url| PipConfigError { key })?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(PipConfigError { key }) }
}

/// The words of Python's configuration files.
fn is_true(value: &str) -> bool {
    ["1", "true", "yes", "on", "y", "t"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
}

/// The value of a key in a section of an INI file, its continued lines joined by line ends. Keys are
/// the same in any case, and with `_` for `-`.
fn value(file: &str, section: &str, key: &str) -> Option<String> {
    let mut here = false;
    let mut found: Option<Vec<&str>> = None;
    let mut continues = false;
    for line in file.lines() {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            if let Some(lines) = found.as_mut().filter(|_| continues) {
                lines.push(text);
            }
            continue;
        }
        continues = false;
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            here = name.trim() == section;
        } else if let Some((name, value)) = text.split_once(['=', ':']).filter(|_| here)
            && name.trim().to_ascii_lowercase().replace('_', "-") == key
        {
            found = Some(vec![value.trim()]);
            continues = true;
        }
    }
    found.map(|lines| lines.join("\n").trim().to_owned())
}
