use anyhow::{Context, Result, bail};
use camino::Utf8Path;

use super::Id;

/// The requirements of all documents, by area.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    areas: Vec<Area>,
}

/// A section of a document, with the requirements that stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// Document and heading, such as `orchestrator: 6. Durability and failover`.
    pub title: String,
    /// What is required there, in rising order.
    pub ids: Vec<Id>,
}

/// Sections of `orchestrator.md` that compare with another project. They cite its ids, which are not ours.
const FOREIGN_SECTIONS: [&str; 2] = ["20. ", "21. "];

impl Requirements {
    /// Reads every `.md` file of a folder, in name order.
    ///
    /// # Errors
    /// When a file cannot be read, no requirement is found, or one id is defined twice.
    pub fn read(folder: &Utf8Path) -> Result<Self> {
        let entries = folder.read_dir_utf8().with_context(|| format!("cannot list {folder}"))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("cannot list {folder}"))?.into_path();
            if path.extension() == Some("md") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut documents = Vec::with_capacity(paths.len());
        for path in &paths {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            documents.push((path.file_stem().unwrap_or_default(), text));
        }
        Self::parse(documents.iter().map(|(name, text)| (*name, text.as_str())))
            .with_context(|| format!("requirements in {folder}"))
    }

    /// Finds the requirements in documents, given as name and Markdown text. A requirement is a list item
    /// that begins with its id in bold; its area is the nearest heading above it.
    ///
    /// # Errors
    /// When nothing is found, an id is misspelt, or one is defined twice.
    pub fn parse<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut found = Self::default();
        for (document, text) in documents {
            found.parse_document(document, text)?;
        }
        if found.areas.is_empty() {
            bail!("no requirement found");
        }
        for area in &mut found.areas {
            area.ids.sort();
        }
        let mut ids: Vec<&Id> = found.ids().collect();
        ids.sort();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("{} is defined twice", pair[0]);
        }
        Ok(found)
    }

    fn parse_document(&mut self, document: &str, text: &str) -> Result<()> {
        let mut heading = "";
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
                heading = title.trim();
                continue;
            }
            let is_foreign = FOREIGN_SECTIONS.iter().any(|number| heading.starts_with(number));
            if is_foreign && document == "orchestrator" {
                continue;
            }
            let Some(bold) = line.strip_prefix("- **").and_then(|rest| rest.split_once("**"))
            else {
                continue;
            };
            let looks_like_id =
                bold.0.contains('-') && bold.0.bytes().any(|it| it.is_ascii_digit());
            match Id::parse(bold.0) {
                Some(id) => self.area(format!("{document}: {heading}")).ids.push(id),
                None if looks_like_id => bail!("{document}: `{}` is no requirement id", bold.0),
                None => {}
            }
        }
        Ok(())
    }

    fn area(&mut self, title: String) -> &mut Area {
        // Areas are met in document order, so the one that is looked for is the last or new.
        if self.areas.last().is_none_or(|last| last.title != title) {
            self.areas.push(Area { title, ids: Vec::new() });
        }
        self.areas.last_mut().expect("an area was pushed if there was none")
    }

    /// The areas in document order.
    #[must_use]
    pub fn areas(&self) -> &[Area] {
        &self.areas
    }

    /// All ids, by area.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.areas.iter().flat_map(|area| &area.ids)
    }

    /// Whether a requirement of this name exists.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        self.ids().any(|known| known == id)
    }
}
