use adapter_host::{EngineAdapter as _, FinishReason, Input};
use engine_openai::ApiKey;
use testkit::{
    Directives, Script, ScriptedEngine,
    adapter_conformance::{self, Subject, attempt, run},
};

use crate::setup::{Canned, adapter, adapter_of, ask, chat, chat_attempt, chat_script, config};

/// Verifies: ORCH-161
#[tokio::test]
async fn it_keeps_the_contract_of_adapters() {
    let engine = ScriptedEngine::start(&["--slots", "2", "--rate", "1000"]);
    let mut config = config(&engine.url());
    config.slots = 2;
    adapter_conformance::check(&Subject {
        adapter: &adapter_of(config),
        model: "scripted",
        input: chat("Name three colors."),
        long_input: chat("[[tokens=9999]] [[stall_after=3]]"),
    })
    .await;
}

/// Verifies: ORCH-163
#[tokio::test]
async fn events_split_at_any_byte_give_the_same_answer() {
    for prompt in ["[[emoji]] [[tokens=12]] a", "[[cjk]] [[tokens=12]] b", "[[tokens=40]] words"] {
        let expected = chat_script(prompt).text(u32::MAX);
        for bytes in 1..20 {
            let engine = ScriptedEngine::start(&["--split-bytes", &bytes.to_string()]);
            let answer = ask(&engine.url(), prompt).await;
            assert_eq!(answer.text(), expected);
            let finish = answer.end.unwrap();
            assert_eq!(finish.reason, FinishReason::Stop);
            assert_eq!(finish.output_tokens, Some(chat_script(prompt).tokens()));
        }
    }
}

/// Verifies: ORCH-163
#[tokio::test]
async fn output_comes_while_the_engine_still_generates() {
    let engine = ScriptedEngine::start(&["--rate", "1000"]);
    let adapter = adapter(&engine.url());
    let mut stream = adapter.submit(chat_attempt("[[tokens=9]] [[stall_after=4]]")).await.unwrap();
    for _ in 0..4 {
        let event = futures_util::StreamExt::next(&mut stream).await.unwrap().unwrap();
        let adapter_host::EngineEvent::Output(output) = event else { panic!("{event:?}") };
        assert_eq!(output.tokens, Some(1));
    }
    assert!(engine.log().iter().all(|entry| entry["event"] == "started"));
}

#[tokio::test]
async fn plain_text_goes_to_the_completions_path_and_limits_count() {
    let engine = ScriptedEngine::start(&[]);
    let prompt = "[[tokens=9]] once";
    let input = Input::Text(prompt.into());
    let answer = run(&adapter(&engine.url()), attempt("scripted", input, 5)).await;
    assert_eq!(answer.text(), Script::new(prompt, &Directives::read(prompt)).text(5));
    let finish = answer.end.unwrap();
    assert_eq!((finish.reason, finish.output_tokens), (FinishReason::Length, Some(5)));
    assert_eq!(engine.logged("started").await["path"], "/v1/completions");
}

#[tokio::test]
async fn chunks_are_counted_only_where_they_are_known_to_be_tokens() {
    let engine = ScriptedEngine::start(&[]);
    let mut config = config(&engine.url());
    config.chunk_is_token = false;
    let answer = run(&adapter_of(config), chat_attempt("[[tokens=3]]")).await;
    assert!(answer.outputs.iter().all(|output| output.tokens.is_none()));
    assert_eq!(answer.end.unwrap().output_tokens, Some(3));
}

#[tokio::test]
async fn an_abort_reaches_a_stalled_engine_and_so_does_a_dropped_stream() {
    let engine = ScriptedEngine::start(&["--slots", "1"]);
    let adapter = adapter(&engine.url());
    let request = chat_attempt("[[stall_after=2]]");
    let id = request.id;
    let mut stream = adapter.submit(request).await.unwrap();
    let (last, ()) = futures_util::future::join(
        async {
            let mut last = None;
            while let Some(item) = futures_util::StreamExt::next(&mut stream).await {
                last = Some(item);
            }
            last
        },
        async { adapter.abort(id).await.unwrap() },
    )
    .await;
    assert!(matches!(last, Some(Err(adapter_host::AdapterError::Aborted))));
    // With the stream still there.
    assert!(engine.logged("aborted").await["tokens"].as_u64() <= Some(2));
    drop(stream);

    drop(adapter.submit(chat_attempt("[[stall_after=0]] again")).await.unwrap());
    let prompt = "[[tokens=2]] the only slot is free";
    assert_eq!(run(&adapter, chat_attempt(prompt)).await.text(), chat_script(prompt).text(2));
    let aborted = engine.log().iter().filter(|entry| entry["event"] == "aborted").count();
    assert_eq!(aborted, 2);
}

#[tokio::test]
async fn an_abort_ends_an_attempt_that_the_engine_has_not_answered_yet() {
    let engine = ScriptedEngine::start(&[]);
    let adapter = adapter(&engine.url());
    let request = chat_attempt("[[slow_prefill_ms=3600000]]");
    let id = request.id;
    let (end, ()) = futures_util::future::join(adapter.submit(request), async {
        engine.logged("started").await;
        adapter.abort(id).await.unwrap();
    })
    .await;
    assert!(matches!(end.err(), Some(adapter_host::AdapterError::Aborted)));
    engine.logged("aborted").await;
}

/// Verifies: ORCH-194
#[tokio::test]
async fn models_are_discovered_with_their_context() {
    let engine = ScriptedEngine::start(&["--model", "a/b", "--model", "c:8b", "--ctx", "4096"]);
    let contexts = async |ctx_max| {
        let mut config = config(&engine.url());
        config.ctx_max = ctx_max;
        let props = adapter_of(config).props().await.unwrap();
        props
            .models
            .into_iter()
            .map(|model| (model.name, model.ctx_max.unwrap()))
            .collect::<Vec<_>>()
    };
    let named = |ctx| vec![("a/b".to_owned(), ctx), ("c:8b".to_owned(), ctx)];
    assert_eq!(contexts(None).await, named(4096));
    assert_eq!(contexts(Some(2048)).await, named(2048));
    assert_eq!(contexts(Some(9999)).await, named(4096));
}

#[tokio::test]
async fn the_key_and_the_correlation_reach_the_engine() {
    let engine = ScriptedEngine::start(&["--key", "s3cret"]);
    let mut config = config(&engine.url());
    config.api_key = Some(ApiKey::new("s3cret\n"));
    assert!(!format!("{config:?}").contains("s3cret"));
    let adapter = adapter_of(config);
    assert!(!format!("{adapter:?}").contains("s3cret"));
    let mut request = chat_attempt("[[tokens=2]]");
    request.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    run(&adapter, request).await.end.unwrap();
    let headers = engine.logged("started").await["headers"].take();
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(headers["x-correlation-id"], "conformance");
    assert_eq!(headers["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
}

#[tokio::test]
async fn a_connection_serves_one_attempt_after_another() {
    let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
        47\r\ndata: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    let canned = Canned::raw(vec![chunked.to_vec(), chunked.to_vec()]);
    let adapter = adapter(&canned.url);
    for _ in 0..2 {
        let answer = run(&adapter, chat_attempt("x")).await;
        assert_eq!((answer.text().as_str(), answer.end.is_ok()), ("a", true));
    }
}
