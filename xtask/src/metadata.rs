use camino::Utf8PathBuf;
use serde::Deserialize;

/// What `cargo metadata --format-version 1 --no-deps` says, as far as layers need it.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// The members of the workspace.
    pub packages: Vec<Package>,
    /// The folder of the root manifest.
    pub workspace_root: Utf8PathBuf,
}

/// A member of the workspace.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// Its name, equal to that of its folder.
    pub name: String,
    /// Where its `Cargo.toml` is.
    pub manifest_path: Utf8PathBuf,
    /// What its manifest depends on, optional and platform-bound ones included.
    pub dependencies: Vec<Dependency>,
}

/// One entry of a dependency table.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// The package's own name, also where the manifest renames it.
    pub name: String,
    /// Which table it stands in; `null` in cargo's output is the normal one.
    #[serde(default, deserialize_with = "kind")]
    pub kind: DependencyKind,
}

/// Which table of a manifest a dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DependencyKind {
    /// `[dependencies]`
    #[default]
    Normal,
    /// `[build-dependencies]`
    Build,
    /// `[dev-dependencies]`
    Dev,
}

impl DependencyKind {
    /// The table's name in a manifest.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Normal => "dependencies",
            Self::Build => "build-dependencies",
            Self::Dev => "dev-dependencies",
        }
    }
}

fn kind<'de, D: serde::Deserializer<'de>>(source: D) -> Result<DependencyKind, D::Error> {
    Ok(Option::deserialize(source)?.unwrap_or_default())
}
