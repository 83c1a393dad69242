use std::sync::Arc;

use api_types::{ErrorBody, ErrorCode};
use serde_json::json;
use uuid::Uuid;

use crate::{OperationId, OperationRecord, OperationState, OperationStore, Progress};

/// Holds a store against the port's contract. Each call of `open` gives a store over the same records,
/// which are empty at first; a persistent store is opened anew, so that what is read was really written.
///
/// # Panics
/// Where the store breaks the contract.
pub async fn check_store(open: impl AsyncFn() -> Arc<dyn OperationStore>) {
    let load = async || open().await.load().await.expect("the store can be read");
    assert_eq!(load().await, [], "a new store is empty");

    let (one, two) = (sample_operation(1), sample_operation(2));
    for record in [&two, &one] {
        open().await.put(record).await.expect("the store can be written");
    }
    assert_eq!(load().await, [one.clone(), two.clone()], "all of them, oldest first");

    let error = ErrorBody::new(ErrorCode::UntrustedArtifact, "its digest is another", "c-1");
    let ended = OperationRecord {
        state: OperationState::Failed,
        error: Some(error),
        ended_at_ms: Some(77),
        progress: Progress { bytes_done: Some(u64::MAX), ..Progress::default() },
        ..one
    };
    open().await.put(&ended).await.expect("the store can be written");
    assert_eq!(load().await, [ended.clone(), two.clone()], "one is replaced, whole");

    let absent = sample_operation(3).id;
    open().await.remove(&[two.id, absent]).await.expect("removing what is absent is no error");
    open().await.remove(&[]).await.expect("nor is removing nothing");
    assert_eq!(load().await, [ended]);
}

/// An operation that runs; another for each `number`, later for greater ones.
#[must_use]
pub fn sample_operation(number: u8) -> OperationRecord {
    OperationRecord {
        id: OperationId(Uuid::from_u128(
            0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number),
        )),
        kind: "model_fetch".to_owned(),
        target: format!("file:/models/{number}.gguf"),
        input: json!({ "aliases": ["a", "b"], "number": number }),
        state: OperationState::Running,
        progress: Progress::default(),
        result: None,
        error: None,
        correlation_id: "c-1".to_owned(),
        created_at_ms: 1_700_000_000_000 + u64::from(number),
        ended_at_ms: None,
    }
}
