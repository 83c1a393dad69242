use catalog_core::{Alias, InvalidAlias};

#[test]
fn an_alias_is_a_bounded_word_of_the_allowed_characters() {
    for name in ["smollm2", "qwen2.5:7b", "org/model-v1_2", "a", &"x".repeat(128)] {
        assert_eq!(name.parse::<Alias>().unwrap().as_str(), name);
    }
    for name in ["", "two words", "naïve", "a\nb", "a\0b", "a%2fb", &"x".repeat(129)] {
        assert_eq!(name.parse::<Alias>(), Err(InvalidAlias::Form), "{name:?}");
    }
}

/// Verifies: ORCH-026
#[test]
fn an_alias_cannot_be_mistaken_for_an_id_or_a_source() {
    for scheme in ["sha256", "remote", "file", "http", "https", "hf", "pypi", "s3", "oci"] {
        let refused = format!("{scheme}:x").parse::<Alias>();
        assert_eq!(refused, Err(InvalidAlias::Reserved { scheme }));
    }
    assert_eq!("FILE:x".parse::<Alias>(), Err(InvalidAlias::Reserved { scheme: "file" }));
    assert!("filer:x".parse::<Alias>().is_ok());
}
