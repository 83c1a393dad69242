use std::{fmt, sync::Arc};

use catalog_core::{ModelDigest, ModelReference};
use fetch::{Credentials, FetchError, Fetcher};
use serde::Deserialize;
use url::Url;

use crate::ProvisionError;

/// The public hub that `hf:` references name repositories of.
pub const DEFAULT_HUB: &str = "https://huggingface.co";

/// Largest answer of the hub about a repository, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A Hugging Face hub: the public one, or a mirror that speaks its API.
#[derive(Clone)]
pub struct Hub {
    /// Its address, without a path's last slash.
    pub url: Url,
    /// An access token, for models that are not open to all. It is sent to the hub alone, not to where the
    /// hub's links lead.
    pub token: Option<String>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { url: Url::parse(DEFAULT_HUB).expect("the constant is a URL"), token: None }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// A file of a repository at a commit.
#[derive(Debug)]
pub(crate) struct HubFile {
    pub(crate) url: Url,
    /// Its path in the repository.
    pub(crate) path: String,
    /// The reference with file and commit spelled out.
    pub(crate) resolved: ModelReference,
    /// Its digest, as the hub tells it for large files.
    pub(crate) sha256: Option<ModelDigest>,
}

/// What the hub says of a repository (`GET /api/models/{repo}/revision/{revision}?blobs=true`).
#[derive(Deserialize)]
struct Repository {
    /// The commit.
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    sha256: String,
}

impl Hub {
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        self.token.as_ref().map(|token| Credentials::bearer(&self.url, token.as_str()))
    }

    /// Looks up which file at which commit a reference stands for now.
    pub(crate) async fn find(
        &self,
        fetcher: &Fetcher,
        reference: &ModelReference,
        expected: Option<ModelDigest>,
    ) -> Result<HubFile, ProvisionError> {
        let ModelReference::HuggingFace { org, repo, path, revision } = reference else {
            unreachable!("the caller has looked");
        };
        let not_found =
            |reason| ProvisionError::NotFound { reference: reference.to_string(), reason };
        let revision = revision.as_deref().unwrap_or("main");
        let api =
            self.address(&["api", "models", org, repo, "revision", revision], Some("blobs=true"));
        let page = fetcher
            .page(&api, "application/json", self.credentials().as_ref(), ANSWER_BYTES_MAX)
            .await
            .map_err(|error| match error {
                FetchError::Status { status: 404, .. } => {
                    not_found("the hub has no such repository or revision")
                }
                FetchError::Status { status: 401 | 403, .. } => not_found(
                    "the hub does not show it without an accepted token; set egress.hub_token_file",
                ),
                source => {
                    let (reference, source) = (reference.to_string(), Arc::new(source));
                    ProvisionError::Fetch { reference, expected, source }
                }
            })?;
        let found: Repository = serde_json::from_str(&page.body)
            .map_err(|_broken| not_found("the hub's answer cannot be read"))?;
        let is_commit =
            found.sha.len() == 40 && found.sha.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit {
            return Err(not_found("the hub's answer names no commit"));
        }
        let sibling = match path {
            Some(path) => found.siblings.iter().find(|sibling| sibling.rfilename == *path),
            None => Some(only_model(&found.siblings).map_err(not_found)?),
        };
        let sibling = sibling.ok_or_else(|| not_found("the repository has no such file"))?;
        let resolved = ModelReference::HuggingFace {
            org: org.clone(),
            repo: repo.clone(),
            path: Some(sibling.rfilename.clone()),
            revision: Some(found.sha.clone()),
        };
        let mut parts = vec![org.as_str(), repo, "resolve", &found.sha];
        parts.extend(sibling.rfilename.split('/'));
        Ok(HubFile {
            url: self.address(&parts, None),
            path: sibling.rfilename.clone(),
            resolved,
            sha256: sibling.lfs.as_ref().and_then(|lfs| ModelDigest::from_hex(&lfs.sha256).ok()),
        })
    }

    /// Each part becomes one segment of the path, whatever characters it has.
    fn address(&self, parts: &[&str], query: Option<&str>) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url.set_query(query);
        url
    }
}

/// The one GGUF file of a repository.
fn only_model(siblings: &[Sibling]) -> Result<&Sibling, &'static str> {
    let mut models = siblings.iter().filter(|sibling| sibling.rfilename.ends_with(".gguf"));
    match (models.next(), models.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => Err("the repository has no GGUF file"),
        (Some(_), Some(_)) => {
            Err("the repository has several GGUF files; name one as hf:owner/repository/file.gguf")
        }
    }
}
