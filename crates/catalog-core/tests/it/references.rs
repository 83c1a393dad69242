use catalog_core::{ModelReference, ReferenceError};
use proptest::prelude::*;

fn parse(text: &str) -> Result<ModelReference, ReferenceError> {
    text.parse()
}

fn malformed(text: &str) -> bool {
    matches!(parse(text), Err(ReferenceError::Malformed { .. }))
}

/// Verifies: ORCH-183
#[test]
fn every_kind_of_reference_is_read_and_shown_again() {
    for (text, shown) in [
        ("file:/models/a b.gguf", "file:/models/a b.gguf"),
        ("file:///models/a.gguf", "file:/models/a.gguf"),
        ("file:/models/./a.gguf", "file:/models/a.gguf"),
        ("https://example.com/a.gguf", "https://example.com/a.gguf"),
        ("hf:org/repo", "hf:org/repo"),
        ("hf:org/repo/dir/a.gguf@refs/pr/1", "hf:org/repo/dir/a.gguf@refs/pr/1"),
        ("pypi:LLM.smol__lm2@0.1.2#pkg/m.gguf", "pypi:llm-smol-lm2@0.1.2#pkg/m.gguf"),
    ] {
        let reference = parse(text).unwrap();
        assert_eq!(reference.to_string(), shown);
        assert_eq!(parse(shown).unwrap(), reference);
    }
}

/// Verifies: ORCH-183
#[test]
fn plain_http_and_unsupported_stores_are_refused_by_name() {
    assert_eq!(parse("http://example.com/a.gguf"), Err(ReferenceError::PlainHttp));
    assert_eq!(parse("s3://bucket/a"), Err(ReferenceError::NotSupported { scheme: "s3" }));
    assert_eq!(parse("oci:registry/a"), Err(ReferenceError::NotSupported { scheme: "oci" }));
    for text in ["", "smollm2", "ftp://x/y", "FILE:/a", "qwen:7b"] {
        assert_eq!(parse(text), Err(ReferenceError::UnknownScheme), "{text:?}");
    }
}

/// Verifies: ORCH-183
#[test]
fn a_package_needs_an_exact_version_and_a_member() {
    for text in [
        "pypi:pkg",
        "pypi:pkg@1.0",
        "pypi:pkg#m.gguf",
        "pypi:pkg@#m.gguf",
        "pypi:pkg@1.*#m.gguf",
        "pypi:pkg@>=1#m.gguf",
        "pypi:pkg@1.0#",
        "pypi:-pkg@1.0#m.gguf",
        "pypi:p/kg@1.0#m.gguf",
        "pypi:@1.0#m.gguf",
    ] {
        assert!(malformed(text), "{text:?}");
    }
}

/// Verifies: ORCH-189
#[test]
fn no_reference_leads_outside_its_place() {
    for text in [
        "file:relative.gguf",
        "file:",
        "file:/",
        "file://host/a.gguf",
        "file:/models/../etc/passwd",
        "pypi:pkg@1.0#../m.gguf",
        "pypi:pkg@1.0#/etc/passwd",
        "pypi:pkg@1.0#a//b",
        "pypi:pkg@1.0#a\\..\\b",
        "pypi:pkg@1.0#a/%2e%2e/b",
        "pypi:pkg@1.0#a\0b",
        "hf:org/repo/../x",
        "hf:../repo",
        "hf:org/repo@../../x",
        "https://user:secret@example.com/a",
        "https://example.com/",
    ] {
        assert!(malformed(text), "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_shown_is_read_again(
        text in "(file:/|https://|hf:|pypi:)[a-zA-Z0-9./@#:_ -]{0,60}"
    ) {
        if let Ok(reference) = parse(&text) {
            prop_assert_eq!(parse(&reference.to_string()), Ok(reference));
        }
    }
}
