use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{CatalogId, FileStamp, InvalidId, ModelDigest};

/// A model that was read and checked, or one that an attached engine holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its content, or its place behind an attached engine.
    pub id: CatalogId,
    /// Where it came from, as it was asked for; a remote model's own id.
    pub source_ref: String,
    /// The same with everything fixed that may move, such as a branch; none where nothing may.
    #[serde(default)]
    pub resolved_ref: Option<String>,
    /// Its files, the one to open first; none for a remote model.
    pub files: Vec<EntryFile>,
    /// All files together, in bytes; 0 for a remote model.
    pub size_bytes: u64,
    /// The format of the first file, such as `gguf`.
    pub format: Option<String>,
    /// The architecture that the header names, such as `llama`.
    pub architecture: Option<String>,
    /// The quantisation of most weights, such as `Q4_1`.
    pub quant: Option<String>,
    /// The longest context that the model was made for, in tokens.
    pub ctx_max: Option<u64>,
    /// What a token of context costs in memory, in bytes, with keys and values of 16 bits.
    #[serde(default)]
    pub kv_bytes_per_token: Option<u64>,
    /// Whether new tasks may use it.
    pub state: EntryState,
    /// When tasks of a retired model that still live are ended, in milliseconds since 1970.
    #[serde(default)]
    pub retire_at_ms: Option<u64>,
    /// Words of whoever registered it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Signatures as they were given; none of them was checked.
    #[serde(default)]
    pub signatures: Vec<Signature>,
    /// What the model is made of, as it was given.
    #[serde(default)]
    pub sbom: Option<Sbom>,
    /// Whether somebody said which digest to expect.
    #[serde(default)]
    pub is_pinned: bool,
    /// When all bytes were last read and checked, in milliseconds since 1970; none for a remote model.
    pub verified_at_ms: Option<u64>,
    /// What that check said.
    pub verify_result: VerifyResult,
    /// Why it is out of service until it is verified again, if it is.
    pub out_of_service: Option<String>,
    /// When it was registered, in milliseconds since 1970.
    pub created_at_ms: u64,
}

/// A signature, recorded and not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// What kind it is, such as `minisign`.
    pub scheme: String,
    /// The signature itself, or where it is.
    pub value: String,
}

/// A list of what a model is made of, recorded and not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sbom {
    /// Its format, such as `cyclonedx`.
    pub format: String,
    /// The list itself, or where it is.
    pub value: String,
}

/// One file of a model, as it was when it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryFile {
    /// Where it lies, absolute and without symbolic links.
    pub path: Utf8PathBuf,
    /// The digest of its bytes.
    pub sha256: ModelDigest,
    /// What the file system said of it.
    #[serde(flatten)]
    pub stamp: FileStamp,
}

/// Whether new tasks may use an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryState {
    /// They may.
    Active,
    /// They may not; those that run may finish.
    Retired,
}

/// What the last verification said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyResult {
    /// All bytes were read and have the digest that was expected.
    Pass,
    /// All bytes were read, but something was missing that is asked for: the digest to expect, or a
    /// signature where the policy wants one.
    Warn,
    /// The bytes are not those that were registered, or cannot be read.
    Fail,
    /// They cannot be read: an attached engine holds them.
    Unverified,
}

/// What was found out about a model in files, before it has an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalModel {
    /// The reference it came from.
    pub source_ref: String,
    /// As in [`Entry`].
    pub resolved_ref: Option<String>,
    /// The file to open first.
    pub first: EntryFile,
    /// Any more files.
    pub others: Vec<EntryFile>,
    /// As in [`Entry`].
    pub format: Option<String>,
    /// As in [`Entry`].
    pub architecture: Option<String>,
    /// As in [`Entry`].
    pub quant: Option<String>,
    /// As in [`Entry`].
    pub ctx_max: Option<u64>,
    /// As in [`Entry`].
    pub kv_bytes_per_token: Option<u64>,
    /// Whether the digest was the expected one (`Pass`), or none was expected (`Warn`).
    pub verify_result: VerifyResult,
}

impl Entry {
    /// The entry of a model in files that were just read; its id follows from their content.
    #[must_use]
    pub fn local(model: LocalModel, now_ms: u64) -> Self {
        let mut files = vec![model.first];
        files.extend(model.others);
        Self {
            id: CatalogId::Digest(content_digest(&files)),
            source_ref: model.source_ref,
            resolved_ref: model.resolved_ref,
            size_bytes: files.iter().map(|file| file.stamp.size_bytes).sum(),
            files,
            format: model.format,
            architecture: model.architecture,
            quant: model.quant,
            ctx_max: model.ctx_max,
            kv_bytes_per_token: model.kv_bytes_per_token,
            state: EntryState::Active,
            retire_at_ms: None,
            tags: Vec::new(),
            signatures: Vec::new(),
            sbom: None,
            is_pinned: model.verify_result == VerifyResult::Pass,
            verified_at_ms: Some(now_ms),
            verify_result: model.verify_result,
            out_of_service: None,
            created_at_ms: now_ms,
        }
    }

    /// The entry of a model that only an attached engine holds: no files, no digest, not verified.
    ///
    /// # Errors
    /// [`InvalidId`] where pool or name cannot be part of an id.
    pub fn remote(
        pool: &str,
        name: &str,
        ctx_max: Option<u64>,
        now_ms: u64,
    ) -> Result<Self, InvalidId> {
        let id = CatalogId::remote(pool, name)?;
        Ok(Self {
            source_ref: id.to_string(),
            id,
            files: Vec::new(),
            size_bytes: 0,
            format: None,
            architecture: None,
            quant: None,
            ctx_max,
            resolved_ref: None,
            kv_bytes_per_token: None,
            state: EntryState::Active,
            retire_at_ms: None,
            tags: Vec::new(),
            signatures: Vec::new(),
            sbom: None,
            is_pinned: false,
            verified_at_ms: None,
            verify_result: VerifyResult::Unverified,
            out_of_service: None,
            created_at_ms: now_ms,
        })
    }
}

/// The digest of a model: that of its only file, or of a manifest with one line for each file, in the
/// order of their names. Folders do not count, so the same files have the same id everywhere.
fn content_digest(files: &[EntryFile]) -> ModelDigest {
    if let [file] = files {
        return file.sha256;
    }
    let mut lines: Vec<String> = files
        .iter()
        .map(|file| {
            let name = file.path.file_name().unwrap_or_default();
            format!("{name}\0{}\0{}\n", file.stamp.size_bytes, file.sha256)
        })
        .collect();
    lines.sort_unstable();
    ModelDigest::new(Sha256::digest(lines.concat()).into())
}
