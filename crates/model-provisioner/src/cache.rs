use std::{
    fs::{self, File},
    io,
};

use camino::{Utf8Path, Utf8PathBuf};
use catalog_core::{ModelDigest, ModelReference};
use sha2::{Digest as _, Sha256};

use crate::ProvisionError;

/// Longest name of a file in the cache, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Where fetched models lie. Folders are named after digests only.
#[derive(Clone)]
pub(crate) struct Cache {
    root: Utf8PathBuf,
}

impl Cache {
    pub(crate) fn new(root: Utf8PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The folder of a model, named after its digest alone.
    pub(crate) fn folder(&self, digest: ModelDigest) -> Utf8PathBuf {
        self.root.join("models").join(digest.folder_name())
    }

    /// The place of a model, whose file is called as in its source as far as that is harmless.
    pub(crate) fn place(&self, digest: ModelDigest, source_name: &str) -> Utf8PathBuf {
        self.folder(digest).join(harmless_name(source_name))
    }

    /// The folder where what a reference needs is gathered: another one for each reference.
    pub(crate) fn workshop(&self, reference: &ModelReference) -> Utf8PathBuf {
        let key = ModelDigest::new(Sha256::digest(reference.to_string()).into());
        self.root.join("fetching").join(key.folder_name())
    }

    /// Moves a whole file to its place, on disk before it is seen there. Blocks.
    pub(crate) fn keep(from: &Utf8Path, place: &Utf8Path) -> Result<(), ProvisionError> {
        let folder = place.parent().expect("a place is a file in a folder");
        let moved = || -> io::Result<()> {
            fs::create_dir_all(folder)?;
            fs::rename(from, place)?;
            File::open(folder)?.sync_all()?;
            folder.parent().map_or(Ok(()), |models| File::open(models)?.sync_all())
        };
        moved().map_err(|source| ProvisionError::Cache { path: place.to_owned(), source })
    }

    /// Deletes a file or folder of the cache, if it is there. Blocks.
    pub(crate) fn discard(path: &Utf8Path) -> Result<(), ProvisionError> {
        let removed = match path.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ProvisionError::Cache { path: path.to_owned(), source })
            }
            _ => Ok(()),
        }
    }
}

/// The last part of a path in a source, with only characters that are the same everywhere.
fn harmless_name(source_name: &str) -> String {
    let base = source_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let harmless = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = base.chars().map(harmless).collect();
    let start = name.len().saturating_sub(NAME_BYTES_MAX); // the end has the extension
    let name = name[start..].trim_start_matches('.');
    if name.is_empty() { "model".to_owned() } else { name.to_owned() }
}
