use std::collections::HashMap;

use catalog_core::ModelDigest;
use fetch::Page;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use crate::html_links::html_links;

/// What an index may answer with, the best first (PEP 691).
pub(crate) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
    application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// A wheel that an index offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wheel {
    /// Where it is.
    pub(crate) url: Url,
    /// Its digest, where the index names it.
    pub(crate) sha256: Option<ModelDigest>,
    /// Whether it is for any Python on any machine.
    is_universal: bool,
}

/// The wheels of exactly `version` on a page of a simple index, those for any machine first.
pub(crate) fn wheels_of_version(page: &Page, version: &str) -> Vec<Wheel> {
    let is_json = page.content_type.as_deref().is_some_and(|kind| kind.ends_with("json"));
    let files = if is_json { json_files(page) } else { html_files(page) };
    let mut wheels: Vec<Wheel> =
        files.into_iter().filter_map(|file| file.into_wheel_of(version)).collect();
    wheels.sort_by_key(|wheel| !wheel.is_universal); // stable: the index's order stays
    wheels
}

/// The page of a project (PEP 503), whether or not the index was written with a slash at its end.
pub(crate) fn project_url(index: &Url, project: &str) -> Option<Url> {
    let mut folder = index.clone();
    folder.path_segments_mut().ok()?.pop_if_empty().push(project).push("");
    Some(folder)
}

struct IndexFile {
    name: String,
    url: Url,
    sha256: Option<ModelDigest>,
}

impl IndexFile {
    /// File names are `name-version(-build)?-python-abi-platform.whl` (PEP 427).
    fn into_wheel_of(self, version: &str) -> Option<Wheel> {
        let stem = self.name.strip_suffix(".whl")?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (own_version, tags) = match parts.as_slice() {
            [_name, version, tags @ ..] if tags.len() == 3 || tags.len() == 4 => (version, tags),
            _ => return None,
        };
        if canonical(own_version) != canonical(version) {
            return None;
        }
        let [.., python, abi, platform] = tags else { return None };
        let is_universal =
            python.split('.').any(|tag| tag == "py3") && *abi == "none" && *platform == "any";
        Some(Wheel { url: self.url, sha256: self.sha256, is_universal })
    }
}

/// A version in the form that file names have: `+` and `-` are written `_` there.
fn canonical(version: &str) -> String {
    version.to_ascii_lowercase().replace(['+', '-'], "_")
}

#[derive(Deserialize)]
struct JsonPage {
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: HashMap<String, String>,
}

fn json_files(page: &Page) -> Vec<IndexFile> {
    let Ok(parsed) = serde_json::from_str::<JsonPage>(&page.body) else { return Vec::new() };
    let file = |file: JsonFile| {
        let url = page.url.join(&file.url).ok()?;
        let sha256 = file.hashes.get("sha256").and_then(|hex| digest(hex));
        Some(IndexFile { name: file.filename, url, sha256 })
    };
    parsed.files.into_iter().filter_map(file).collect()
}

fn html_files(page: &Page) -> Vec<IndexFile> {
    let file = |href: String| {
        let mut url = page.url.join(&href).ok()?;
        let sha256 = url.fragment().and_then(|part| digest(part.strip_prefix("sha256=")?));
        url.set_fragment(None);
        let name = url.path_segments()?.next_back()?;
        let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
        Some(IndexFile { name, url, sha256 })
    };
    html_links(&page.body).into_iter().filter_map(file).collect()
}

fn digest(hex: &str) -> Option<ModelDigest> {
    ModelDigest::from_hex(&hex.to_ascii_lowercase()).ok()
}
