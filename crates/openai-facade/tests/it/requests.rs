use api_types::{
    Content, ContentPart, ErrorCode, MessageRequest, Priority, SamplingRequest, TaskRequest,
};
use openai_facade::{
    ChatHeaders, ChatOptions, ChatProblem, ChatRequest, facade_error, parse_chat, reattach_ms,
};
use serde_json::{Value, json};

/// A minimal body with the fields of `more` over it.
fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({"model": "smol", "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    serde_json::to_vec(&body).unwrap()
}

fn parse(more: &Value) -> Result<ChatRequest, ChatProblem> {
    parse_chat(&body(more), &ChatHeaders::default())
}

fn check(more: &Value, change: impl FnOnce(&mut ChatRequest)) {
    let message =
        MessageRequest { role: "user".to_owned(), content: Content::Text("Hi".to_owned()) };
    let mut expected = ChatRequest {
        task: TaskRequest {
            messages: Some(vec![message]),
            model_ref: Some("smol".to_owned()),
            cancel_on_disconnect: true,
            ..TaskRequest::default()
        },
        options: ChatOptions::default(),
    };
    change(&mut expected);
    assert_eq!(parse(more), Ok(expected), "{more}");
}

/// The request is answered 400 with this `param`.
fn check_refused(result: Result<ChatRequest, ChatProblem>, param: &str) {
    let problem = result.expect_err(param);
    let error = facade_error(&problem.error_body("c-1"), None);
    assert_eq!(error.status, 400, "{problem}");
    assert_eq!(error.body.error.kind, "invalid_request_error", "{problem}");
    assert_eq!(error.body.error.param.as_deref(), Some(param), "{problem}");
    assert_eq!(error.body.error.code, "INVALID_PARAMS", "{problem}");
    assert!(!error.should_retry);
}

/// Verifies: ORCH-241, ORCH-245
#[test]
fn a_minimal_request_is_a_task_that_ends_with_its_connection() {
    check(&json!({}), |_| {});
}

/// Verifies: ORCH-241
#[test]
fn every_served_parameter_reaches_the_task() {
    let more = json!({
        "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05,
        "repeat_penalty": 1.1, "presence_penalty": -0.5, "frequency_penalty": 0.25, "seed": 42,
        "stop": ["\n", "END"], "stream": true, "stream_options": {"include_usage": true},
    });
    check(&more, |expected| {
        expected.task.max_tokens = Some(7);
        expected.task.sampling = SamplingRequest {
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            min_p: Some(0.05),
            repeat_penalty: Some(1.1),
            presence_penalty: Some(-0.5),
            frequency_penalty: Some(0.25),
            seed: Some(42),
            stop: vec!["\n".to_owned(), "END".to_owned()],
        };
        expected.options.stream = true;
        expected.options.include_usage = true;
    });
}

/// Verifies: ORCH-241
#[test]
fn other_spellings_mean_the_same() {
    check(&json!({"max_completion_tokens": 7}), |it| it.task.max_tokens = Some(7));
    let both = json!({"max_completion_tokens": 7, "max_tokens": 7});
    check(&both, |it| it.task.max_tokens = Some(7));
    check(&json!({"repetition_penalty": 1.5}), |it| it.task.sampling.repeat_penalty = Some(1.5));
    check(&json!({"stop": "END"}), |it| it.task.sampling.stop = vec!["END".to_owned()]);
    check(&json!({"top_k": -1}), |it| it.task.sampling.top_k = Some(0));
    let developer = json!({"messages": [{"role": "developer", "content": "Be brief"}]});
    check(&developer, |it| {
        let content = Content::Text("Be brief".to_owned());
        it.task.messages = Some(vec![MessageRequest { role: "system".to_owned(), content }]);
    });
}

/// Verifies: ORCH-241
#[test]
fn text_parts_and_echoed_answers_are_taken() {
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c", "refusal": null, "annotations": [], "audio": null,
         "function_call": null, "tool_calls": null},
    ]);
    check(&json!({"messages": messages}), |it| {
        let text = |text: &str| ContentPart::Text { text: text.to_owned() };
        it.task.messages = Some(vec![
            MessageRequest {
                role: "user".to_owned(),
                content: Content::Parts(vec![text("a"), text("b")]),
            },
            MessageRequest { role: "assistant".to_owned(), content: Content::Text("c".to_owned()) },
        ]);
    });
}

/// Verifies: ORCH-244
#[test]
fn harmless_parameters_are_ignored_and_named() {
    let more = json!({
        "user": "u", "metadata": {"a": "b"}, "store": true, "service_tier": "auto",
        "safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_retention": "24h",
        "parallel_tool_calls": true, "stream": true,
        "stream_options": {"include_obfuscation": false},
    });
    check(&more, |expected| {
        expected.options.stream = true;
        expected.options.ignored = vec![
            "stream_options.include_obfuscation",
            "metadata",
            "parallel_tool_calls",
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
            "service_tier",
            "store",
            "user",
        ];
    });
}

/// Verifies: ORCH-244
#[test]
fn values_that_ask_for_what_happens_anyway_are_taken() {
    let more = json!({
        "n": 1, "logprobs": false, "top_logprobs": 0, "logit_bias": {}, "tools": [],
        "tool_choice": "none", "functions": [], "function_call": "none", "modalities": ["text"],
        "response_format": {"type": "text"}, "verbosity": "medium", "stream": false,
        "temperature": null, "stop": null, "audio": null, "anything": null,
    });
    check(&more, |_| {});
}

/// Verifies: ORCH-244
#[test]
fn parameters_that_would_change_the_answer_and_are_not_served_are_refused_by_name() {
    let refused = json!({
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
        "functions": [{"name": "f"}],
        "function_call": {"name": "f"},
        "response_format": {"type": "json_object"},
        "logprobs": true,
        "top_logprobs": 3,
        "logit_bias": {"50256": -100},
        "n": 2,
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
        "prediction": {"type": "content", "content": "x"},
        "reasoning_effort": "low",
        "verbosity": "high",
        "web_search_options": {},
        "moderation": {},
        "best_of": 3,
        "wibble": 1,
    });
    for (name, value) in refused.as_object().unwrap() {
        check_refused(parse(&json!({ name.as_str(): value })), name);
    }
}

/// Verifies: ORCH-243
#[test]
fn wrong_values_are_refused_with_the_name_that_the_client_used() {
    let message = |message: Value| json!({"messages": [message]});
    let part = |part: Value| message(json!({"role": "user", "content": [part]}));
    let cases = [
        (json!({"model": null}), "model"),
        (json!({"model": ""}), "model"),
        (json!({"model": 3}), "model"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "Hi"}), "messages"),
        (message(json!("Hi")), "messages[0]"),
        (message(json!({"content": "Hi"})), "messages[0].role"),
        (message(json!({"role": "bard", "content": "Hi"})), "messages[0].role"),
        (message(json!({"role": "tool", "content": "Hi"})), "messages[0].role"),
        (message(json!({"role": "user"})), "messages[0].content"),
        (message(json!({"role": "user", "content": 3})), "messages[0].content"),
        (message(json!({"role": "user", "content": "Hi", "name": "x"})), "messages[0].name"),
        (
            message(json!({"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]})),
            "messages[0].tool_calls",
        ),
        (part(json!("Hi")), "messages[0].content[0]"),
        (part(json!({"text": "Hi"})), "messages[0].content[0].type"),
        (part(json!({"type": "text"})), "messages[0].content[0].text"),
        (
            part(json!({"type": "image_url", "image_url": {"url": "data:,"}})),
            "messages[0].content[0].type",
        ),
        (part(json!({"type": "text", "text": "Hi", "x": 1})), "messages[0].content[0].x"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_completion_tokens": 0}), "max_completion_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"max_tokens": 4_294_967_296_u64}), "max_tokens"),
        (json!({"max_tokens": 7, "max_completion_tokens": 8}), "max_completion_tokens"),
        (json!({"repeat_penalty": 1, "repetition_penalty": 2}), "repetition_penalty"),
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 0}), "top_p"),
        (json!({"top_k": -2}), "top_k"),
        (json!({"min_p": 1.5}), "min_p"),
        (json!({"repeat_penalty": 0}), "repeat_penalty"),
        (json!({"presence_penalty": 3}), "presence_penalty"),
        (json!({"frequency_penalty": -3}), "frequency_penalty"),
        (json!({"seed": -1}), "seed"),
        (json!({"seed": 9_007_199_254_740_992_u64}), "seed"),
        (json!({"stop": 3}), "stop"),
        (json!({"stop": [3]}), "stop"),
        (json!({"stop": [""]}), "stop[0]"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (json!({"stream": true, "stream_options": 1}), "stream_options"),
        (json!({"stream": true, "stream_options": {"x": 1}}), "stream_options.x"),
        (
            json!({"stream": true, "stream_options": {"include_usage": 1}}),
            "stream_options.include_usage",
        ),
    ];
    for (more, param) in cases {
        check_refused(parse(&more), param);
    }
}

/// Verifies: ORCH-245
#[test]
fn headers_set_class_and_deadline() {
    let headers =
        ChatHeaders { priority: Some("batch"), deadline_ms: Some("1500"), session_id: None };
    let request = parse_chat(&body(&json!({})), &headers).unwrap();
    assert_eq!((request.task.priority, request.task.deadline_ms), (Priority::Batch, Some(1500)));
    let headers = ChatHeaders { priority: Some("interactive"), ..ChatHeaders::default() };
    let request = parse_chat(&body(&json!({})), &headers).unwrap();
    assert_eq!((request.task.priority, request.task.deadline_ms), (Priority::Interactive, None));
}

#[test]
fn headers_that_are_not_taken_are_refused() {
    let none = ChatHeaders::default();
    let cases = [
        (ChatHeaders { priority: Some("vip"), ..none }, "X-Priority"),
        (ChatHeaders { deadline_ms: Some("soon"), ..none }, "X-Deadline-Ms"),
        (ChatHeaders { deadline_ms: Some("0"), ..none }, "X-Deadline-Ms"),
        (ChatHeaders { session_id: Some("s"), ..none }, "X-Session-Id"),
    ];
    for (headers, param) in cases {
        check_refused(parse_chat(&body(&json!({})), &headers), param);
    }
}

/// Verifies: ORCH-243
#[test]
fn text_that_is_no_json_object_is_400() {
    let problem = parse_chat(b"{\"model\": ", &ChatHeaders::default()).unwrap_err();
    let native = problem.error_body("c-1");
    assert_eq!(native.code, ErrorCode::MalformedJson);
    assert_eq!(facade_error(&native, None).status, 400);
    let problem = parse_chat(b"[1]", &ChatHeaders::default()).unwrap_err();
    let error = facade_error(&problem.error_body("c-1"), None);
    assert_eq!((error.status, error.body.error.param), (400, None));
}

/// Verifies: ORCH-245
#[test]
fn only_a_repeatable_request_outlives_its_connection() {
    assert_eq!((reattach_ms(false), reattach_ms(true)), (0, 30_000));
}
