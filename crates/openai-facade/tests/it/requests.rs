use api_types::{
    Content, ContentPart, ErrorCode, MessageRequest, Priority, ResponseFormat, SamplingRequest,
    TaskRequest, ToolChoice,
};
use openai_facade::{
    AnswerOptions, CHAT_PARAMETERS, COMPLETION_PARAMETERS, EMBEDDING_PARAMETERS, EmbeddingEncoding,
    FacadeRequest, RequestHeaders, RequestProblem, facade_error, parse_chat, parse_completion,
    parse_embeddings, reattach_ms,
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

fn parse(more: &Value) -> Result<FacadeRequest, RequestProblem> {
    parse_chat(&body(more), &RequestHeaders::default())
}

fn check(more: &Value, change: impl FnOnce(&mut FacadeRequest)) {
    let message = MessageRequest::text("user", "Hi");
    let mut expected = FacadeRequest {
        task: TaskRequest {
            messages: Some(vec![message]),
            model_ref: Some("smol".to_owned()),
            cancel_on_disconnect: true,
            ..TaskRequest::default()
        },
        options: AnswerOptions::default(),
    };
    change(&mut expected);
    assert_eq!(parse(more), Ok(expected), "{more}");
}

/// The request is answered 400 with this `param`.
fn check_refused(result: Result<FacadeRequest, RequestProblem>, param: &str) {
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
        it.task.messages = Some(vec![MessageRequest::new("system", content)]);
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
            MessageRequest::new("user", Content::Parts(vec![text("a"), text("b")])),
            MessageRequest::text("assistant", "c"),
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
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
            "service_tier",
            "store",
            "user",
            "parallel_tool_calls",
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
        "functions": [{"name": "f"}],
        "function_call": {"name": "f"},
        "logit_bias": {"50256": -100},
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
        (message(json!({"role": "tool", "content": "Hi"})), "messages[0].tool_call_id"),
        (
            message(json!({"role": "user", "content": "Hi", "tool_calls": [call()]})),
            "messages[0].tool_calls",
        ),
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
            part(json!({"type": "image_url", "image_url": {"url": "http://x/a.png"}})),
            "messages[0].content[0].image_url.url",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "data:text/plain;base64,QQ=="}})),
            "messages[0].content[0].image_url.url",
        ),
        (part(json!({"type": "image_url"})), "messages[0].content[0].image_url"),
        (part(json!({"type": "input_audio"})), "messages[0].content[0].type"),
        (json!({"n": 0}), "n"),
        (json!({"n": 17}), "n"),
        (json!({"top_logprobs": 3}), "top_logprobs"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
        (json!({"tools": [{"type": "retrieval"}]}), "tools[0].type"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "a b"}}]}),
            "tools[0].function.name",
        ),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (
            json!({"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "g"}}}),
            "tool_choice",
        ),
        (json!({"response_format": {"type": "yaml"}}), "response_format.type"),
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
        RequestHeaders { priority: Some("batch"), deadline_ms: Some("1500"), session_id: None };
    let request = parse_chat(&body(&json!({})), &headers).unwrap();
    assert_eq!((request.task.priority, request.task.deadline_ms), (Priority::Batch, Some(1500)));
    let headers = RequestHeaders { priority: Some("interactive"), ..RequestHeaders::default() };
    let request = parse_chat(&body(&json!({})), &headers).unwrap();
    assert_eq!((request.task.priority, request.task.deadline_ms), (Priority::Interactive, None));
}

#[test]
fn headers_that_are_not_taken_are_refused() {
    let none = RequestHeaders::default();
    let cases = [
        (RequestHeaders { priority: Some("vip"), ..none }, "X-Priority"),
        (RequestHeaders { deadline_ms: Some("soon"), ..none }, "X-Deadline-Ms"),
        (RequestHeaders { deadline_ms: Some("0"), ..none }, "X-Deadline-Ms"),
        (RequestHeaders { session_id: Some("s"), ..none }, "X-Session-Id"),
    ];
    for (headers, param) in cases {
        check_refused(parse_chat(&body(&json!({})), &headers), param);
    }
}

/// Verifies: ORCH-243
#[test]
fn text_that_is_no_json_object_is_400() {
    let problem = parse_chat(b"{\"model\": ", &RequestHeaders::default()).unwrap_err();
    let native = problem.error_body("c-1");
    assert_eq!(native.code, ErrorCode::MalformedJson);
    assert_eq!(facade_error(&native, None).status, 400);
    let problem = parse_chat(b"[1]", &RequestHeaders::default()).unwrap_err();
    let error = facade_error(&problem.error_body("c-1"), None);
    assert_eq!((error.status, error.body.error.param), (400, None));
}

/// Verifies: ORCH-245
#[test]
fn only_a_repeatable_request_outlives_its_connection() {
    assert_eq!((reattach_ms(false), reattach_ms(true)), (0, 30_000));
}

fn tool() -> Value {
    json!({"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": [null, 1.5, "x"]}}})
}

fn call() -> Value {
    json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}})
}

/// Verifies: ORCH-244
#[test]
fn what_engines_may_serve_is_carried() {
    let request = parse(&json!({
        "tools": [tool()],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "strict": true}},
        "logprobs": true,
        "top_logprobs": 2,
        "n": 3,
    }))
    .unwrap();
    let output = request.task.output();
    assert_eq!((output.choices(), output.logprobs), (3, Some(2)));
    assert_eq!(output.parallel_tool_calls, Some(false));
    assert_eq!(output.tools[0].function.name, "f");
    assert!(matches!(output.tool_choice, Some(ToolChoice::Named(_))));
    assert!(matches!(output.response_format, Some(ResponseFormat::JsonSchema { .. })));
    assert!(output.is_constrained());
}

/// Verifies: ORCH-244
#[test]
fn a_schema_keeps_the_order_of_its_keys() {
    let body = r#"{"model": "m", "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f",
            "parameters": {"z": {"y": -1, "b": []}, "a": [null, true, "\u00e9\n", {}]}}}]}"#;
    let request = parse_chat(body.as_bytes(), &RequestHeaders::default()).unwrap();
    let parameters = request.task.tools[0].function.parameters.as_ref().unwrap();
    let expected = "{\"z\":{\"y\":-1,\"b\":[]},\"a\":[null,true,\"\u{e9}\\n\",{}]}";
    assert_eq!(parameters.as_json(), expected);
}

/// Verifies: ORCH-244
#[test]
fn conversations_with_tools_and_images_are_taken() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K", "detail": "low"}});
    let request = parse(&json!({"messages": [
        {"role": "user", "content": [{"type": "text", "text": "see"}, image]},
        {"role": "assistant", "content": null, "tool_calls": [call()]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]}))
    .unwrap();
    assert_eq!(request.task.images(), 1);
    assert!(request.task.has_tool_messages());
    let messages = request.task.messages.unwrap();
    assert_eq!(messages[1].content, Content::Absent);
    assert_eq!(messages[2].tool_call_id.as_deref(), Some("c1"));
}

/// Verifies: ORCH-241, ORCH-244
#[test]
fn a_plain_completion_is_a_task_with_a_prompt() {
    let parse = |more: Value| {
        let mut body = json!({"model": "m", "prompt": "once"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parse_completion(body.to_string().as_bytes(), &RequestHeaders::default())
    };
    let request =
        parse(json!({"logprobs": 2, "n": 2, "stop": "x", "seed": 4, "user": "me"})).unwrap();
    let task = &request.task;
    assert_eq!((task.prompt.as_deref(), task.max_tokens), (Some("once"), Some(16)));
    assert_eq!((task.logprobs, task.n, task.sampling.seed), (Some(2), Some(2), Some(4)));
    assert_eq!(request.options.ignored, ["user"]);
    assert_eq!(parse(json!({"prompt": ["one"]})).unwrap().task.prompt.as_deref(), Some("one"));
    let neutral = json!({"echo": false, "suffix": null, "best_of": 1, "n": 1, "logit_bias": {}});
    assert_eq!(parse(neutral).unwrap().task.n, None);
    let refused = [
        (json!({"prompt": null}), "prompt"),
        (json!({"prompt": ["a", "b"]}), "prompt"),
        (json!({"prompt": [1, 2]}), "prompt"),
        (json!({"echo": true}), "echo"),
        (json!({"suffix": "end"}), "suffix"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"logprobs": 6}), "logprobs"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"messages": []}), "messages"),
        (json!({"tools": [tool()]}), "tools"),
    ];
    for (more, param) in refused {
        check_refused(parse(more), param);
    }
}

/// Verifies: ORCH-241, ORCH-248
#[test]
fn an_embedding_request_is_a_task_with_inputs() {
    let parse =
        |body: Value| parse_embeddings(body.to_string().as_bytes(), &RequestHeaders::default());
    let request = parse(json!({"model": "m", "input": ["a", "b"], "encoding_format": "base64"}));
    let request = request.unwrap();
    assert_eq!(request.encoding, EmbeddingEncoding::Base64);
    assert_eq!(request.task.inputs, Some(vec!["a".to_owned(), "b".to_owned()]));
    let one = parse(json!({"model": "m", "input": "a", "user": "me"})).unwrap();
    assert_eq!((one.encoding, one.task.inputs.unwrap().len()), (EmbeddingEncoding::Float, 1));
    assert_eq!(one.ignored, ["user"]);
    let refused = [
        (json!({"model": "m"}), "input"),
        (json!({"model": "m", "input": []}), "input"),
        (json!({"model": "m", "input": [""]}), "input[0]"),
        (json!({"model": "m", "input": [[1, 2]]}), "input"),
        (json!({"model": "m", "input": "a", "encoding_format": "hex"}), "encoding_format"),
        (json!({"model": "m", "input": "a", "dimensions": 3}), "dimensions"),
        (json!({"input": "a"}), "model"),
    ];
    for (body, param) in refused {
        let wrong = parse(body).unwrap_err().error_body("c");
        assert_eq!(facade_error(&wrong, None).body.error.param.as_deref(), Some(param));
    }
}

/// Verifies: ORCH-244
#[test]
fn each_parameter_that_is_listed_is_known_to_its_route() {
    let complaint = |name: &str, base: Value, parse: &dyn Fn(&[u8]) -> Option<String>| {
        let mut body = base;
        body[name] = json!({ "no": "such value" });
        parse(body.to_string().as_bytes()).unwrap_or_default()
    };
    let is_known = |name: &str, told: &str| {
        !told.is_empty() && !told.starts_with(&format!("`{name}`: is unknown"))
    };
    let headers = RequestHeaders::default();
    let chat = |body: &[u8]| parse_chat(body, &headers).err().map(|problem| problem.to_string());
    let text = |body: &[u8]| parse_completion(body, &headers).err().map(|it| it.to_string());
    let embed = |body: &[u8]| parse_embeddings(body, &headers).err().map(|it| it.to_string());
    for name in CHAT_PARAMETERS {
        let base =
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true});
        let told = complaint(name, base, &chat);
        assert!(is_known(name, &told), "{told}");
    }
    for name in COMPLETION_PARAMETERS {
        let told = complaint(name, json!({"model": "m", "prompt": "x", "stream": true}), &text);
        assert!(is_known(name, &told), "{told}");
    }
    for name in EMBEDDING_PARAMETERS {
        let told = complaint(name, json!({"model": "m", "input": "x"}), &embed);
        assert!(is_known(name, &told), "{told}");
    }
    let unlisted = complaint("frequency", json!({"model": "m", "prompt": "x"}), &text);
    assert!(!is_known("frequency", &unlisted), "{unlisted}");
}
