use std::sync::Arc;

use crate::{
    Alias, CatalogRecords, CatalogStore, Change, Commit, Entry, EntryFile, FileStamp, LocalModel,
    ModelDigest, Sbom, Signature, VerifyResult,
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

    let set = |alias: &Alias, entry: &Entry| Change::SetAlias(alias.clone(), entry.id.clone());
    commit(&open, vec![put(&one), set(&chat, &one), set(&code, &one)]).await;
    let both = vec![(chat.clone(), one.id.clone()), (code.clone(), one.id.clone())];
    let expected = CatalogRecords { revision: 1, entries: vec![one.clone()], aliases: both };
    assert_eq!(load(&open).await, expected, "an entry and its aliases are kept whole");
    assert_eq!(open().await.revision().await.expect("the store can be read"), 1);

    commit(&open, vec![put(&two), set(&code, &two)]).await;
    let moved = vec![(chat.clone(), one.id.clone()), (code.clone(), two.id.clone())];
    let read = load(&open).await;
    assert_eq!(read.aliases, moved, "an alias moves, others stay");
    assert_eq!(read.entries, sorted(&one, &two));

    let outdated = vec![put(&sample_entry(4)), Change::RemoveAlias(chat.clone())];
    let late = open().await.commit(1, outdated).await;
    assert_eq!(late.expect("an outdated commit is no error"), Commit::Outdated);
    assert_eq!(load(&open).await, read, "what was decided on older records is not done");

    let checked = Entry { verified_at_ms: Some(99), out_of_service: Some("gone".into()), ..one };
    commit(&open, vec![put(&checked)]).await;
    let read = load(&open).await;
    assert_eq!(read.entries, sorted(&checked, &two), "an entry is replaced");
    assert_eq!(read.aliases, moved, "its aliases stay");

    commit(&open, vec![Change::RemoveAlias(chat.clone())]).await;
    commit(&open, vec![Change::RemoveAlias(chat.clone())]).await;
    assert_eq!(load(&open).await.aliases, [(code.clone(), two.id.clone())], "twice is no error");

    let before = load(&open).await;
    let dangling = vec![put(&sample_entry(5)), set(&chat, &sample_entry(3))];
    assert!(open().await.commit(before.revision, dangling).await.is_err(), "no alias may dangle");
    assert_eq!(load(&open).await, before, "a failed commit leaves no trace");

    commit(&open, vec![Change::Remove(two.id.clone()), Change::Remove(sample_entry(3).id)]).await;
    let read = load(&open).await;
    assert_eq!(read.entries, [checked], "an entry is removed");
    assert_eq!(read.aliases, [], "with its aliases");

    let remote = Entry::remote("gpu", "org/model v2", Some(4096), 5).expect("a valid name");
    commit(&open, vec![put(&remote)]).await;
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
        resolved_ref: Some("resolved".into()),
        first,
        others: Vec::new(),
        format: Some("gguf".into()),
        architecture: Some("llama".into()),
        quant: Some("Q4_1".into()),
        ctx_max: Some(2048),
        kv_bytes_per_token: Some(u64::MAX),
        verify_result: VerifyResult::Pass,
    };
    Entry {
        tags: vec!["small".into()],
        signatures: vec![Signature { scheme: "minisign".into(), value: "RW…".into() }],
        sbom: Some(Sbom { format: "cyclonedx".into(), value: "{}".into() }),
        ..Entry::local(model, 1_700_000_000_000)
    }
}

async fn load(open: &impl AsyncFn() -> Arc<dyn CatalogStore>) -> CatalogRecords {
    open().await.load().await.expect("the store can be read")
}

async fn commit(open: &impl AsyncFn() -> Arc<dyn CatalogStore>, changes: Vec<Change>) {
    let store = open().await;
    let revision = store.revision().await.expect("the store can be read");
    let done = store.commit(revision, changes).await.expect("the store can be written");
    assert_eq!(done, Commit::Done { revision: revision + 1 });
}

fn put(entry: &Entry) -> Change {
    Change::Put(Box::new(entry.clone()))
}

fn sorted(one: &Entry, two: &Entry) -> Vec<Entry> {
    let mut entries = vec![one.clone(), two.clone()];
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

fn alias(name: &str) -> Alias {
    name.parse().expect("a valid alias")
}
