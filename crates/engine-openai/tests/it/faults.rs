use adapter_host::{AdapterError, Cause, EngineAdapter as _};
use engine_openai::ApiKey;
use testkit::{
    ScriptedEngine,
    adapter_conformance::{collect, run},
};

use crate::setup::{Canned, adapter, adapter_of, ask, chat_attempt, chat_script, config, error_of};

/// Verifies: ORCH-163
#[tokio::test]
async fn an_engine_killed_in_the_middle_is_lost_after_what_it_said() {
    let mut engine = ScriptedEngine::start(&["--rate", "1000"]);
    let prompt = "[[cjk]] [[tokens=20]] [[stall_after=6]]";
    let stream = adapter(&engine.url()).submit(chat_attempt(prompt)).await.unwrap();
    let (answer, ()) = futures_util::future::join(collect(stream), async {
        // The stall begins after six tokens; whatever of them has come by then must be a prefix.
        engine.logged("started").await;
        engine.kill();
    })
    .await;
    assert!(matches!(answer.end, Err(AdapterError::Lost { .. })), "{:?}", answer.end);
    assert!(chat_script(prompt).text(6).starts_with(&answer.text()));
}

/// Verifies: ORCH-163
#[tokio::test]
async fn every_way_to_break_off_is_a_loss_or_a_breach_after_a_true_prefix() {
    for (fault, is_lost) in [
        ("die_after", true),
        ("close_after", true),
        ("truncate_after", true),
        ("error_after", true),
        ("garbage_after", false),
        ("huge_line_after", false),
    ] {
        let engine = ScriptedEngine::start(&[]);
        let prompt = format!("[[emoji]] [[tokens=9]] [[{fault}=5]]");
        let answer = ask(&engine.url(), &prompt).await;
        assert_eq!(answer.text(), chat_script(&prompt).text(5), "{fault}");
        let error = answer.end.unwrap_err();
        match error {
            AdapterError::Lost { .. } => assert!(is_lost, "{fault}: {error}"),
            AdapterError::Protocol { .. } => assert!(!is_lost, "{fault}: {error}"),
            _ => panic!("{fault}: {error}"),
        }
        assert_eq!(error.cause(), Cause::Worker);
    }
}

/// Verifies: ORCH-163
#[tokio::test]
async fn a_death_anywhere_in_a_stream_leaves_a_true_prefix() {
    let prompt = "[[emoji]] [[tokens=3]]";
    let script = chat_script(prompt);
    let mut seen = Vec::new();
    for bytes in (1..1100).step_by(13) {
        let engine = ScriptedEngine::start(&["--fail-after-bytes", &bytes.to_string()]);
        let answer = ask(&engine.url(), prompt).await;
        let tokens = u32::try_from(answer.outputs.len()).unwrap();
        assert_eq!(answer.text(), script.text(tokens), "after {bytes} bytes");
        seen.push(tokens);
        match answer.end {
            Ok(_) => break,
            Err(AdapterError::Lost { .. }) => {}
            Err(error) => panic!("after {bytes} bytes: {error}"),
        }
    }
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&3)));
}

/// Verifies: ORCH-163
#[tokio::test]
async fn statuses_become_causes_that_do_not_blame_the_wrong_side() {
    let engine = ScriptedEngine::start(&["--ctx", "100"]);
    let error_of =
        async |status: u16| error_of(&engine.url(), &format!("[[error={status}]]")).await;
    for status in [400, 409, 413, 418, 422] {
        let error = error_of(status).await;
        assert!(
            matches!(error, AdapterError::Refused { status: Some(told), .. } if told == status),
            "{error:?}"
        );
        assert_eq!(error.cause(), Cause::Task);
    }
    for status in [401, 403] {
        assert!(matches!(error_of(status).await, AdapterError::Unauthorized));
    }
    for status in [408, 429, 503] {
        let error = error_of(status).await;
        assert!(matches!(error, AdapterError::Overloaded { retry_after_ms: None }), "{error:?}");
    }
    for status in [500, 502, 504] {
        let error = error_of(status).await;
        assert!(matches!(error, AdapterError::Lost { .. }), "{error:?}");
    }
    assert!(
        matches!(error_of(404).await, AdapterError::ModelAbsent { model } if model == "scripted")
    );
}

#[tokio::test]
async fn the_pause_that_an_engine_asks_for_is_passed_on() {
    let engine = ScriptedEngine::start(&[]);
    let error = error_of(&engine.url(), "[[error=429]] [[retry_after=7]]").await;
    assert!(matches!(error, AdapterError::Overloaded { retry_after_ms: Some(7000) }), "{error:?}");
    let error = error_of(&engine.url(), "[[error=503]] [[retry_after=4000000000]]").await;
    assert!(
        matches!(error, AdapterError::Overloaded { retry_after_ms: Some(3_600_000) }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_prompt_over_the_context_is_told_from_other_refusals() {
    let engine = ScriptedEngine::start(&["--ctx", "100"]);
    assert!(matches!(error_of(&engine.url(), "too much").await, AdapterError::ContextExceeded));
    for body in [
        r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
        r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}"#,
        r#"{"error":"prompt is too long"}"#,
    ] {
        let canned = Canned::response("400 Bad Request\r\nContent-Type: application/json", body);
        assert!(
            matches!(error_of(&canned.url, "x").await, AdapterError::ContextExceeded),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_apart() {
    let engine = ScriptedEngine::start(&["--key", "right"]);
    let mut config = config(&engine.url());
    config.api_key = Some(ApiKey::new("wrong"));
    let adapter = adapter_of(config);
    assert!(matches!(adapter.health().await, Err(AdapterError::Unauthorized)));
    let error = run(&adapter, chat_attempt("x")).await.end.unwrap_err();
    assert!(matches!(error, AdapterError::Unauthorized));
    assert_eq!(error.cause(), Cause::Worker);
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable() {
    let mut engine = ScriptedEngine::start(&[]);
    engine.kill();
    let adapter = adapter(&engine.url());
    assert!(matches!(adapter.health().await, Err(AdapterError::Unreachable { .. })));
    let error = run(&adapter, chat_attempt("x")).await.end.unwrap_err();
    assert!(matches!(error, AdapterError::Unreachable { .. }));
}

#[tokio::test]
async fn an_engine_that_does_not_answer_in_time_is_given_up() {
    let engine = ScriptedEngine::start(&[]);
    let mut config = config(&engine.url());
    config.first_byte_timeout_ms = 50;
    let error = run(&adapter_of(config), chat_attempt("[[slow_prefill_ms=3600000]]"))
        .await
        .end
        .unwrap_err();
    assert!(matches!(error, AdapterError::TimedOut { waited_ms: 50 }), "{error:?}");
    engine.logged("aborted").await;
}

#[tokio::test]
async fn an_engine_that_hangs_up_without_an_answer_is_lost() {
    let canned = Canned::raw(vec![Vec::new()]);
    let error = error_of(&canned.url, "x").await;
    assert!(matches!(error, AdapterError::Lost { .. }), "{error:?}");
}
