use camino::{Utf8Path, Utf8PathBuf};
use config_schema::ConfigFile;

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn guides() -> Vec<Utf8PathBuf> {
    let mut paths = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some("md") {
                paths.push(path);
            }
        }
    }
    paths
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut links = 0;
    for path in guides() {
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = target.split('#').next().unwrap();
            if !target.contains("://") && !file.is_empty() {
                assert!(path.parent().unwrap().join(file).exists(), "{path} links to {target}");
                links += 1;
            }
        }
    }
    assert!(links > 5, "only {links} links were found");
}

#[test]
fn configuration_that_is_shown_can_be_used() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let examples = blocks(&text, "toml");
    assert!(!examples.is_empty());
    for text in examples {
        let file = ConfigFile { name: "README.md", text };
        let problems = config_schema::load(Some(file), &[], &[]).err().unwrap_or_default();
        assert!(problems.is_empty(), "{problems:#?}");
    }
}
