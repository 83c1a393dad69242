use std::sync::Arc;

use catalog_core::{
    Catalog, CatalogLimits, Details, Distrust, Entry, ResolveError, Signature, TakenAlias,
    TrustPolicy, VerifyResult,
    testing::{MemoryStore, sample_entry},
};

fn allowing(rules: &[&str]) -> TrustPolicy {
    let allowed_sources = rules.iter().map(|rule| (*rule).to_owned()).collect();
    TrustPolicy { allowed_sources, ..TrustPolicy::default() }
}

/// Verifies: ORCH-192
#[test]
fn a_source_is_allowed_by_scheme_place_or_whole_and_a_place_ends_where_a_part_ends() {
    let cases = [
        ("file:", "file:/any/where.gguf", true),
        ("file:/models", "file:/models/a/b.gguf", true),
        ("file:/models/", "file:/models/b.gguf", true),
        ("file:/models", "file:/models-of-others/b.gguf", false),
        ("https:", "https://host/m.gguf", true),
        ("https://host", "https://host/m.gguf", true),
        ("https://host", "https://host.evil.example/m.gguf", false),
        ("https://host", "https://host:8443/m.gguf", false),
        ("https://host/org", "https://host/org/m.gguf", true),
        ("https://host/org", "https://host/organ/m.gguf", false),
        ("https://host", "http://host/m.gguf", false),
        ("hf:org", "hf:org/repo/m.gguf@main", true),
        ("hf:org", "hf:organ/repo", false),
        ("hf:org/repo", "hf:org/repo@main", true),
        ("pypi:name", "pypi:name@1.0#m.gguf", true),
        ("pypi:name", "pypi:names@1.0#m.gguf", false),
        ("pypi:name@1.0", "pypi:name@1.0.1#m.gguf", false),
        ("pypi:name@1.0#m.gguf", "pypi:name@1.0#m.gguf", true),
        ("remote:gpu", "remote:gpu/qwen", true),
    ];
    for (rule, source, expected) in cases {
        let policy = allowing(&["hf:other", rule]);
        let found = policy.check(source, true, &[]);
        let wanted = if expected { Ok(()) } else { Err(Distrust::Source) };
        assert_eq!(found, wanted, "{rule} for {source}");
    }
    assert_eq!(allowing(&[]).check("file:/x", false, &[]), Ok(()), "no rules allow all");
}

/// Verifies: ORCH-192
#[test]
fn what_is_required_refuses_only_where_the_policy_is_strict() {
    let signature = Signature { scheme: "minisign".to_owned(), value: "x".to_owned() };
    let all = TrustPolicy { require_signature: true, ..TrustPolicy::default() };
    assert_eq!(all.check("file:/x", false, &[]), Ok(()));
    assert!(all.asks_more(true) && !TrustPolicy::default().asks_more(true));
    let strict = TrustPolicy { is_strict: true, ..all };
    assert_eq!(strict.check("file:/x", false, &[]), Err(Distrust::NoDigest));
    assert_eq!(strict.check("file:/x", true, &[]), Err(Distrust::NoSignature));
    let unchecked = Distrust::UncheckedSignature { scheme: "minisign".to_owned() };
    assert_eq!(strict.check("file:/x", true, &[signature]), Err(unchecked));
    let digests = TrustPolicy { is_strict: true, ..TrustPolicy::default() };
    assert_eq!(digests.check("file:/x", true, &[]), Ok(()));
}

/// Verifies: ORCH-192
#[tokio::test]
async fn a_model_that_the_policy_refuses_is_not_handed_out() {
    let store = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(store, CatalogLimits::default()).await.unwrap();
    let unpinned = Entry { is_pinned: false, verify_result: VerifyResult::Warn, ..sample_entry(1) };
    let id = catalog.register(unpinned, &[], TakenAlias::Move).await.unwrap().id.clone();
    let remote = Entry::remote("gpu", "qwen", None, 0).unwrap();
    let remote = catalog.register(remote, &[], TakenAlias::Keep).await.unwrap().id.clone();
    assert!(catalog.resolve(&id.to_string()).is_ok());
    catalog.set_trust(TrustPolicy { is_strict: true, ..TrustPolicy::default() });
    for id in [&id, &remote] {
        let refused = catalog.resolve(&id.to_string());
        let expected = ResolveError::Untrusted { id: id.clone(), source: Distrust::NoDigest };
        assert_eq!(refused, Err(expected), "also one that was registered before");
    }
    catalog.describe(&id, &Details { is_pinned: true, ..Details::default() }).await.unwrap();
    let pinned = catalog.resolve(&id.to_string()).unwrap();
    assert_eq!(pinned.verify_result, VerifyResult::Pass, "somebody said which digest to expect");
}
