use adapter_host::{AdapterError, Attempt, Cause, EngineAdapter as _, Input, Sampling};
use engine_openai::{ApiKey, ConfigError, OpenAiAdapter};
use testkit::{
    ScriptedEngine,
    adapter_conformance::{attempt, run},
};

use crate::setup::{Canned, adapter, adapter_of, chat, chat_attempt, config, logged_about};

/// Verifies: ORCH-239
#[tokio::test]
async fn only_listed_fields_are_sent() {
    let engine = ScriptedEngine::start(&[]);
    run(&adapter(&engine.url()), chat_attempt("[[tokens=1]]")).await.end.unwrap();
    let started = engine.logged("started").await;
    let fields: Vec<_> =
        started["fields"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "frequency_penalty",
        "max_tokens",
        "model",
        "presence_penalty",
        "seed",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
    ];
    assert_eq!(fields, expected);
}

/// Verifies: ORCH-239
#[tokio::test]
async fn a_field_out_of_its_range_is_not_sent() {
    let engine = ScriptedEngine::start(&[]);
    let adapter = adapter(&engine.url());
    let with = |sampling: Sampling| Attempt { sampling, ..chat_attempt("x") };
    let default = Sampling::default;
    for request in [
        with(Sampling { temperature: 2.1, ..default() }),
        with(Sampling { temperature: f32::NAN, ..default() }),
        with(Sampling { top_p: 0.0, ..default() }),
        with(Sampling { top_p: 1.5, ..default() }),
        with(Sampling { presence_penalty: -2.5, ..default() }),
        with(Sampling { frequency_penalty: f32::INFINITY, ..default() }),
        with(Sampling { min_p: 1.1, ..default() }),
        with(Sampling { repeat_penalty: 0.0, ..default() }),
        // In range, but nothing that the standard protocol has a field for.
        with(Sampling { top_k: 40, ..default() }),
        with(Sampling { min_p: 0.1, ..default() }),
        with(Sampling { repeat_penalty: 1.1, ..default() }),
        attempt("scripted", chat("x"), 0),
        attempt("", chat("x"), 1),
        attempt(&"m".repeat(513), chat("x"), 1),
        attempt("a\nb", chat("x"), 1),
        attempt("scripted", Input::Tokens([1, 2].into()), 1),
        Attempt { accepted: [1].into(), ..chat_attempt("x") },
    ] {
        let text = format!("{request:?}");
        let error = run(&adapter, request).await.end.unwrap_err();
        assert!(matches!(error, AdapterError::Refused { status: None, .. }), "{error:?} of {text}");
        assert_eq!(error.cause(), Cause::Task);
    }
    assert!(engine.log().is_empty());
}

/// Verifies: ORCH-239
#[tokio::test]
async fn the_text_of_an_error_goes_masked_to_the_task_and_not_to_the_log() {
    let text =
        "no luck\\n with key-of-ours, Bearer abc, sk-12345678 and 0123456789abcdef0123456789abcdef";
    let body = format!(r#"{{"error":{{"message":"{text}","input":"a prompt"}}}}"#);
    let canned = Canned::response("400 Bad Request", &body);
    let mut config = config(&canned.url);
    config.api_key = Some(ApiKey::new("key-of-ours"));
    let error = run(&adapter_of(config), chat_attempt("x")).await.end.unwrap_err();

    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("luck"), "{shown}");
    let log = logged_about(&canned.url);
    assert!(log.contains("status=400") && log.contains("category=\"refused\""), "{log}");
    assert!(!log.contains("luck"), "{log}");
    let AdapterError::Refused { text: Some(text), .. } = error else { panic!("{error:?}") };
    assert_eq!(text.reveal(), "no luck  with ***, Bearer ***, *** and ***");
}

/// Verifies: ORCH-239
#[tokio::test]
async fn what_an_engine_says_where_no_prompt_was_sent_is_logged_masked() {
    let body = r#"{"error":{"message":"no list for Bearer key-of-ours"}}"#;
    let canned = Canned::response("403 Forbidden", body);
    let mut config = config(&canned.url);
    config.api_key = Some(ApiKey::new("key-of-ours"));
    adapter_of(config).props().await.unwrap_err();
    let log = logged_about(&canned.url);
    assert!(log.contains("no list for Bearer ***"), "{log}");
}

#[tokio::test]
async fn the_text_of_an_error_is_read_up_to_a_bound() {
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Length: 10000000\r\n\r\n";
    let response = [head.as_bytes(), &[b'x'; 65 << 10]].concat();
    // The connection stays open for a second request, so that waiting for the rest would time out.
    let canned = Canned::raw(vec![response, Vec::new()]);
    let error = run(&adapter(&canned.url), chat_attempt("x")).await.end.unwrap_err();
    assert!(matches!(error, AdapterError::Refused { status: Some(400), .. }), "{error:?}");
}

#[tokio::test]
async fn an_endless_list_of_models_is_cut_off() {
    let canned =
        Canned::response("200 OK", &format!(r#"{{"data":[{}"#, r#"{"id":"x"},"#.repeat(600_000)));
    let error = adapter(&canned.url).props().await.unwrap_err();
    assert!(
        matches!(&error, AdapterError::Protocol { reason } if reason.contains("too long")),
        "{error:?}"
    );
}

#[tokio::test]
async fn models_that_could_not_be_asked_for_are_left_out() {
    let long = "m".repeat(513);
    let body = format!(
        r#"{{"data":[{{"id":""}},{{"id":"a\nb"}},{{"id":"{long}"}},{{"id":"ok","context_window":5}}]}}"#
    );
    let props = adapter(&Canned::response("200 OK", &body).url).props().await.unwrap();
    assert_eq!(props.models.len(), 1);
    assert_eq!((props.models[0].name.as_str(), props.models[0].ctx_max), ("ok", Some(5)));
}

/// Verifies: ORCH-239
#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = ScriptedEngine::start(&[]);
    let head =
        format!("307 Temporary Redirect\r\nLocation: {}/v1/chat/completions", elsewhere.url());
    let canned = Canned::response(&head, "");
    let error = run(&adapter(&canned.url), chat_attempt("x")).await.end.unwrap_err();
    assert!(matches!(error, AdapterError::Protocol { .. }), "{error:?}");
    assert!(elsewhere.log().is_empty());
}

#[test]
fn an_address_or_key_that_cannot_be_used_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for url in [
        "localhost:8000",
        "ftp://localhost/",
        "http://",
        "http://user:pass@localhost:1/",
        "http://localhost/?key=1",
        "http://localhost/#x",
    ] {
        let error = OpenAiAdapter::new(config(url)).unwrap_err();
        assert!(matches!(error, ConfigError::Url { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("pass"), "{error}");
    }
    let mut bad_key = config("http://localhost");
    bad_key.api_key = Some(ApiKey::new("two\nlines"));
    let error = OpenAiAdapter::new(bad_key).unwrap_err();
    assert!(matches!(error, ConfigError::Key { .. }));
    assert!(!error.to_string().contains("two"));
}
