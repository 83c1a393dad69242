use std::{fmt, str::FromStr};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use url::Url;

/// Longest reference, in bytes.
const REFERENCE_BYTES_MAX: usize = 2048;

/// Where a model comes from. Shown in the form that it is parsed from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModelReference {
    /// `file:/absolute/path`, also written `file:///absolute/path`; taken as it stands, without percent
    /// decoding.
    File(Utf8PathBuf),
    /// `https://host/path`.
    Https(Url),
    /// `hf:org/repo[/path][@revision]`, a repository of the Hugging Face hub.
    HuggingFace {
        /// Who owns the repository.
        org: String,
        /// The repository.
        repo: String,
        /// One file in it.
        path: Option<String>,
        /// A branch, tag or commit.
        revision: Option<String>,
    },
    /// `pypi:name@version#member`, a file inside a wheel of a Python package.
    PyPi {
        /// The package.
        name: PackageName,
        /// Exactly this version.
        version: String,
        /// The file's path inside the wheel.
        member: String,
    },
}

/// The name of a Python package, normalised as PEP 503 says: lower case, with runs of `.`, `_` and `-`
/// as one `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackageName(String);

/// A text is no reference that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Plain HTTP: what arrives could be anyone's.
    #[error("a model cannot be fetched over plain http; use https")]
    PlainHttp,
    /// A known kind of source that no engine here needs.
    #[error(
        "references of the kind `{scheme}:` are not supported; use file:, https:, hf: or pypi:"
    )]
    NotSupported {
        /// The kind.
        scheme: &'static str,
    },
    /// No known kind.
    #[error("a model reference begins with file:, https:, hf: or pypi:")]
    UnknownScheme,
    /// A known kind in a wrong form.
    #[error("this is no `{scheme}:` reference: {reason}; it is written {form}")]
    Malformed {
        /// The kind.
        scheme: &'static str,
        /// What is wrong.
        reason: &'static str,
        /// The right form.
        form: &'static str,
    },
}

impl PackageName {
    /// The normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        if !edge(bytes.first()) || !edge(bytes.last()) || !bytes.iter().all(allowed) {
            return None;
        }
        let words = text.split(['.', '_', '-']).filter(|word| !word.is_empty());
        Some(Self(words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")))
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ModelReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{path}"),
            Self::Https(url) => url.fmt(f),
            Self::HuggingFace { org, repo, path, revision } => {
                write!(f, "hf:{org}/{repo}")?;
                path.iter().try_for_each(|path| write!(f, "/{path}"))?;
                revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
            }
            Self::PyPi { name, version, member } => write!(f, "pypi:{name}@{version}#{member}"),
        }
    }
}

impl FromStr for ModelReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once(':').ok_or(ReferenceError::UnknownScheme)?;
        let parsed = match scheme {
            "file" => parse_file(rest),
            "https" => parse_https(text),
            "hf" => parse_hugging_face(rest),
            "pypi" => parse_pypi(rest),
            "http" => return Err(ReferenceError::PlainHttp),
            "s3" => return Err(ReferenceError::NotSupported { scheme: "s3" }),
            "oci" => return Err(ReferenceError::NotSupported { scheme: "oci" }),
            _ => return Err(ReferenceError::UnknownScheme),
        };
        if text.len() > REFERENCE_BYTES_MAX || text.chars().any(char::is_control) {
            return parsed.and(Err(malformed(scheme, "it is too long or has control characters")));
        }
        parsed
    }
}

impl TryFrom<String> for ModelReference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ModelReference> for String {
    fn from(reference: ModelReference) -> Self {
        reference.to_string()
    }
}

fn parse_file(rest: &str) -> Result<ModelReference, ReferenceError> {
    let wrong = |reason| Err(malformed("file", reason));
    let path = if rest.starts_with("//") {
        rest.strip_prefix("//").filter(|path| path.starts_with('/'))
    } else {
        Some(rest)
    };
    let Some(path) = path.map(Utf8Path::new) else { return wrong("it names a host") };
    if !path.is_absolute() {
        return wrong("the path is not absolute");
    }
    if path.components().any(|part| part == Utf8Component::ParentDir) {
        return wrong("the path has a `..`");
    }
    if path.file_name().is_none() {
        return wrong("the path names no file");
    }
    Ok(ModelReference::File(path.components().collect()))
}

fn parse_https(text: &str) -> Result<ModelReference, ReferenceError> {
    let wrong = |reason| Err(malformed("https", reason));
    let Ok(url) = Url::parse(text) else { return wrong("it is no URL") };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("it holds credentials, which belong into the environment or a file");
    }
    if url.fragment().is_some() {
        return wrong("it has a fragment");
    }
    if url.path() == "/" {
        return wrong("it names no file");
    }
    Ok(ModelReference::Https(url))
}

fn parse_hugging_face(rest: &str) -> Result<ModelReference, ReferenceError> {
    let wrong = |reason| Err(malformed("hf", reason));
    let (place, revision) = match rest.split_once('@') {
        Some((place, revision)) => (place, Some(revision)),
        None => (rest, None),
    };
    let mut parts = place.splitn(3, '/');
    let (Some(org), Some(repo)) = (parts.next(), parts.next()) else {
        return wrong("it names no repository");
    };
    let path = parts.next();
    if !is_word(org) || !is_word(repo) {
        return wrong("owner or repository has characters outside A-Z a-z 0-9 . _ -");
    }
    if !path.is_none_or(is_relative_path) {
        return wrong("the path leads outside the repository");
    }
    if !revision.is_none_or(|revision| is_relative_path(revision) && !revision.contains('@')) {
        return wrong("the revision is none");
    }
    Ok(ModelReference::HuggingFace {
        org: org.to_owned(),
        repo: repo.to_owned(),
        path: path.map(str::to_owned),
        revision: revision.map(str::to_owned),
    })
}

fn parse_pypi(rest: &str) -> Result<ModelReference, ReferenceError> {
    let wrong = |reason| Err(malformed("pypi", reason));
    let Some((package, member)) = rest.split_once('#') else {
        return wrong("the member of the wheel is missing");
    };
    let Some((name, version)) = package.split_once('@') else {
        return wrong("the exact version is missing");
    };
    let Some(name) = PackageName::parse(name) else { return wrong("this is no package's name") };
    if !is_exact_version(version) {
        return wrong("the version is not an exact one");
    }
    if !is_relative_path(member) {
        return wrong("the member leads outside the wheel");
    }
    Ok(ModelReference::PyPi { name, version: version.to_owned(), member: member.to_owned() })
}

/// A path inside something: no empty, `.` or `..` parts, no backslash, nothing that a shell, a URL or an
/// archive would read as something else.
fn is_relative_path(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    text.split('/').all(part) && !text.contains(['\\', '#', '?', '%', ':'])
}

fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= 96 && text.bytes().all(allowed) && text != "." && text != ".."
}

/// The characters of a version of PEP 440, which has no comparison signs and no `*`.
fn is_exact_version(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".!+_-".contains(&byte);
    text.len() <= 64
        && text.bytes().all(allowed)
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

fn malformed(scheme: &str, reason: &'static str) -> ReferenceError {
    let (scheme, form) = match scheme {
        "file" => ("file", "file:/absolute/path"),
        "https" => ("https", "https://host/path"),
        "hf" => ("hf", "hf:owner/repository[/path][@revision]"),
        _ => ("pypi", "pypi:name@version#member"),
    };
    ReferenceError::Malformed { scheme, reason, form }
}
