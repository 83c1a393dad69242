use catalog_core::{
    CatalogId, Entry, EntryFile, InvalidId, LocalModel, ModelDigest, testing::sample_entry,
};
use proptest::prelude::*;

const HEX: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

#[test]
fn a_digest_is_read_in_one_form_only() {
    let digest: ModelDigest = format!("sha256:{HEX}").parse().unwrap();
    assert_eq!(digest.to_string(), format!("sha256:{HEX}"));
    assert_eq!(digest.folder_name(), format!("sha256-{HEX}"));
    let traversal = format!("sha256:../../../../etc/{}", &HEX[16..]);
    let others = [
        String::new(),
        HEX.to_owned(),
        format!("sha256-{HEX}"),
        format!("sha256:{}", HEX.to_uppercase()),
        format!("sha256:{}", &HEX[1..]),
        format!("sha256:{HEX}0"),
        format!("sha256:{HEX}/../x"),
        format!(" sha256:{HEX}"),
        traversal,
    ];
    for text in others {
        assert!(text.parse::<ModelDigest>().is_err(), "{text:?}");
        assert!(serde_json::from_value::<ModelDigest>(text.clone().into()).is_err(), "{text:?}");
    }
}

#[test]
fn a_remote_id_splits_at_the_first_slash() {
    let id: CatalogId = "remote:gpu-1/meta/Llama 3.1:8b".parse().unwrap();
    assert_eq!(id, CatalogId::remote("gpu-1", "meta/Llama 3.1:8b").unwrap());
    assert_eq!(id.to_string(), "remote:gpu-1/meta/Llama 3.1:8b");
    assert_eq!(id.digest(), None);
    for (text, error) in [
        ("remote:gpu", InvalidId::Form),
        ("gpu/model", InvalidId::Form),
        ("remote:/model", InvalidId::Pool),
        ("remote:a b/model", InvalidId::Pool),
        ("remote:gpu/", InvalidId::Name),
        ("remote:gpu/a\nb", InvalidId::Name),
    ] {
        assert_eq!(text.parse::<CatalogId>(), Err(error), "{text:?}");
    }
}

/// Verifies: ORCH-181
#[test]
fn the_same_content_has_the_same_id_wherever_it_lies() {
    let entry = sample_entry(7);
    assert_eq!(entry.id, CatalogId::Digest(entry.files[0].sha256), "one file: its own digest");

    let several = |folder: &str, digests: [u8; 2]| {
        let file = |name: &str, digest: u8| EntryFile {
            path: format!("{folder}/{name}").into(),
            sha256: ModelDigest::new([digest; 32]),
            ..entry.files[0].clone()
        };
        let model = LocalModel {
            source_ref: format!("file:{folder}/a.gguf"),
            first: file("a.gguf", digests[0]),
            others: vec![file("b.gguf", digests[1])],
            format: None,
            architecture: None,
            quant: None,
            ctx_max: None,
            kv_bytes_per_token: None,
            resolved_ref: None,
            verify_result: catalog_core::VerifyResult::Warn,
        };
        Entry::local(model, 0).id
    };
    assert_eq!(several("/here", [1, 2]), several("/there", [1, 2]));
    assert_ne!(several("/here", [1, 2]), several("/here", [2, 1]));
    assert_ne!(several("/here", [1, 2]), several("/here", [1, 3]));
}

/// Verifies: ORCH-194
#[test]
fn a_remote_entry_has_no_files_no_digest_and_is_not_verified() {
    let entry = Entry::remote("gpu", "qwen", None, 3).unwrap();
    assert_eq!(entry.id.to_string(), "remote:gpu/qwen");
    assert!(entry.files.is_empty() && entry.id.digest().is_none());
    assert_eq!(entry.verify_result, catalog_core::VerifyResult::Unverified);
    assert_eq!(entry.verified_at_ms, None);
}

proptest! {
    #[test]
    fn no_text_but_the_two_forms_is_an_id(text in "(sha256:|remote:)?[ -~/.]{0,80}") {
        if let Ok(id) = text.parse::<CatalogId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_digest_survives_its_text(bytes: [u8; 32]) {
        let digest = ModelDigest::new(bytes);
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        let folder = digest.folder_name();
        prop_assert!(folder.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }
}
