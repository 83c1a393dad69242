use std::sync::Arc;

use adapter_host::{
    AdapterError, AdapterHost, Attempt, AttemptId, BoundStream, EngineAdapter, EngineEvent,
    EngineStream, Features, Input, Output, Props, ReplicaKey, Sampling,
};
use api_types::OutputRequest;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use uuid::Uuid;

/// An engine that says its name once and then nothing more.
struct SaysItsName(&'static str);

#[async_trait]
impl EngineAdapter for SaysItsName {
    async fn health(&self) -> Result<(), AdapterError> {
        Ok(())
    }

    async fn props(&self) -> Result<Props, AdapterError> {
        Ok(Props {
            engine: self.0.to_owned(),
            engine_version: String::new(),
            models: Vec::new(),
            slots: 1,
            features: Features::default(),
        })
    }

    async fn submit(&self, _attempt: Attempt) -> Result<EngineStream, AdapterError> {
        let said =
            EngineEvent::Output(Output::text(None, None, Bytes::from_static(self.0.as_bytes())));
        Ok(Box::pin(futures_util::stream::iter([Ok(said)]).chain(futures_util::stream::pending())))
    }

    async fn abort(&self, _attempt: AttemptId) -> Result<(), AdapterError> {
        Ok(())
    }
}

fn attempt() -> Attempt {
    Attempt {
        id: AttemptId(Uuid::nil()),
        model: "m".into(),
        input: Input::Text("hello".into()),
        accepted: [].into(),
        max_tokens: 8,
        sampling: Sampling::default(),
        output: OutputRequest::default(),
        run_settings: None,
        correlation_id: "c".into(),
        traceparent: None,
    }
}

async fn first_words(stream: &mut BoundStream) -> Bytes {
    match stream.next().await {
        Some(Ok(EngineEvent::Output(output))) => output.bytes,
        other => panic!("expected output, got {other:?}"),
    }
}

/// Verifies: ORCH-162
#[tokio::test]
async fn work_goes_to_the_adapter_that_is_bound_now() {
    let host = AdapterHost::default();
    let replica = ReplicaKey::new("pool", "0");
    assert!(host.binding(&replica).is_err());
    host.bind(replica.clone(), Arc::new(SaysItsName("old")));
    let mut old = host.binding(&replica).unwrap().submit(attempt()).await.unwrap();
    assert_eq!(first_words(&mut old).await, "old");

    host.bind(replica.clone(), Arc::new(SaysItsName("new")));
    assert!(matches!(old.next().await, Some(Err(AdapterError::Lost { .. }))));
    assert!(old.next().await.is_none());
    let mut new = host.binding(&replica).unwrap().submit(attempt()).await.unwrap();
    assert_eq!(first_words(&mut new).await, "new");
}

/// Verifies: ORCH-162
#[tokio::test]
async fn unbinding_ends_open_streams_as_worker_loss() {
    let host = AdapterHost::default();
    let replica = ReplicaKey::new("pool", "0");
    host.bind(replica.clone(), Arc::new(SaysItsName("engine")));
    let mut stream = host.binding(&replica).unwrap().submit(attempt()).await.unwrap();
    assert_eq!(first_words(&mut stream).await, "engine");
    host.unbind(&replica);
    assert!(matches!(stream.next().await, Some(Err(AdapterError::Lost { .. }))));
    assert!(host.binding(&replica).is_err());
}
