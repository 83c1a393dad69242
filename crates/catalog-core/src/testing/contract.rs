use std::sync::Arc;

use crate::{
    Alias, CatalogRecords, CatalogStore, Entry, EntryFile, EntryState, FileStamp, LocalModel,
    ModelDigest, VerifyResult,
};

/// Holds a store against the port's contract. Each call of `open` gives a store over the same records,
/// which are empty at first; a persistent store is opened anew, so that what is read was really written.
///
/// # Panics
/// Where the store breaks the contract.
pub async fn check_store(open: impl AsyncFn() -> Arc<dyn CatalogStore>) {
    let (one, two) = (sample_entry(1), sample_entry(2));
    let (chat, code) = (alias("chat"), alias("code:latest"));
    assert_eq!(load(&open).await, CatalogRecords::default(), "a new store is empty");

    put(&open, &one, &[chat.clone(), code.clone()]).await;
    let both = vec![(chat.clone(), one.id.clone()), (code.clone(), one.id.clone())];
    let expected = CatalogRecords { entries: vec![one.clone()], aliases: both };
    assert_eq!(load(&open).await, expected, "an entry and its aliases are kept whole");

    put(&open, &two, std::slice::from_ref(&code)).await;
    let moved = vec![(chat.clone(), one.id.clone()), (code.clone(), two.id.clone())];
    let read = load(&open).await;
    assert_eq!(read.aliases, moved, "an alias moves with `put`, others stay");
    assert_eq!(read.entries, sorted(&one, &two));

    let checked = Entry { verified_at_ms: Some(99), out_of_service: Some("gone".into()), ..one };
    put(&open, &checked, &[]).await;
    let read = load(&open).await;
    assert_eq!(read.entries, sorted(&checked, &two), "an entry is replaced");
    assert_eq!(read.aliases, moved, "its aliases stay");

    open().await.set_state(&two.id, EntryState::Retired).await.expect("the entry exists");
    let retired = Entry { state: EntryState::Retired, ..two };
    assert_eq!(load(&open).await.entries, sorted(&checked, &retired), "only the state changes");

    open().await.set_alias(&chat, &retired.id).await.expect("the entry exists");
    open().await.remove_alias(&code).await.expect("the alias exists");
    open().await.remove_alias(&code).await.expect("removing twice is no error");
    assert_eq!(load(&open).await.aliases, [(chat.clone(), retired.id.clone())]);

    let absent = sample_entry(3).id;
    assert!(open().await.set_alias(&chat, &absent).await.is_err(), "no alias may dangle");
    assert!(open().await.set_state(&absent, EntryState::Retired).await.is_err());
    assert_eq!(load(&open).await.aliases, [(chat, retired.id)], "a failed change leaves no trace");

    let remote = Entry::remote("gpu", "org/model v2", Some(4096), 5).expect("a valid name");
    put(&open, &remote, &[]).await;
    assert!(load(&open).await.entries.contains(&remote), "a remote entry is kept whole");
}

/// An entry that names a file which does not exist; another for each `number`.
#[must_use]
pub fn sample_entry(number: u8) -> Entry {
    let first = EntryFile {
        path: format!("/models/{number}/weights.gguf").into(),
        sha256: ModelDigest::new([number; 32]),
        stamp: FileStamp {
            device: u64::MAX, // some file systems use all 64 bits
            inode: u64::from(number),
            size_bytes: 1 << 40,
            modified_ns: -1,
        },
    };
    let model = LocalModel {
        source_ref: format!("file:/models/{number}/weights.gguf"),
        first,
        others: Vec::new(),
        format: Some("gguf".into()),
        architecture: Some("llama".into()),
        quant: Some("Q4_1".into()),
        ctx_max: Some(2048),
        verify_result: VerifyResult::Pass,
    };
    Entry::local(model, 1_700_000_000_000)
}

async fn load(open: &impl AsyncFn() -> Arc<dyn CatalogStore>) -> CatalogRecords {
    open().await.load().await.expect("the store can be read")
}

async fn put(open: &impl AsyncFn() -> Arc<dyn CatalogStore>, entry: &Entry, aliases: &[Alias]) {
    open().await.put(entry, aliases).await.expect("the store can be written");
}

fn sorted(one: &Entry, two: &Entry) -> Vec<Entry> {
    let mut entries = vec![one.clone(), two.clone()];
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

fn alias(name: &str) -> Alias {
    name.parse().expect("a valid alias")
}
