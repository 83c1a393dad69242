use api_types::{BodyProblem, TaskRequest, parse_json};

fn field_at_fault(body: &str) -> String {
    match parse_json::<TaskRequest>(body.as_bytes()) {
        Ok(request) => request.validate().expect_err(body).field,
        Err(BodyProblem::Schema { field, .. }) => field,
        Err(BodyProblem::Malformed { .. }) => "malformed".to_owned(),
    }
}

/// Verifies: ORCH-007, ORCH-022, ORCH-023, ORCH-119, ORCH-276
#[test]
fn every_field_at_fault_is_named_by_its_path() {
    let long = "x".repeat(2 * 1024 * 1024 + 1);
    let many_stops = format!(r#"{{"prompt":"a","sampling":{{"stop":{:?}}}}}"#, vec!["s"; 17]);
    let cases = [
        (r#"{"prompt":"a","sampling":{"temperature":"hot"}}"#, "sampling.temperature"),
        (r#"{"prompt":"a","sampling":{"temperature":2.5}}"#, "sampling.temperature"),
        (r#"{"prompt":"a","sampling":{"top_p":0}}"#, "sampling.top_p"),
        (r#"{"prompt":"a","sampling":{"min_p":-0.1}}"#, "sampling.min_p"),
        (r#"{"prompt":"a","sampling":{"repeat_penalty":0}}"#, "sampling.repeat_penalty"),
        (r#"{"prompt":"a","sampling":{"seed":-1}}"#, "sampling.seed"),
        (r#"{"prompt":"a","sampling":{"seed":9007199254740992}}"#, "sampling.seed"),
        (r#"{"prompt":"a","sampling":{"stop":["ok",""]}}"#, "sampling.stop[1]"),
        (r#"{"prompt":"a","sampling":{"stop":["ok",3]}}"#, "sampling.stop[1]"),
        (many_stops.as_str(), "sampling.stop"),
        (r#"{"prompt":"a","sampling":{"mirostat":1}}"#, "sampling.mirostat"),
        (r#"{"prompt":"a","max_tokens":0}"#, "max_tokens"),
        (r#"{"prompt":"a","max_tokens":-4}"#, "max_tokens"),
        (r#"{"prompt":"a","deadline_ms":0}"#, "deadline_ms"),
        (r#"{"prompt":"a","priority":"urgent"}"#, "priority"),
        (r#"{"prompt":"a","tools":[{"type":"function","function":{"name":"f"}}]}"#, "tools"),
        (r#"{"prompt":"a","tools":[{"type":"function"}]}"#, "tools[0].function"),
        (r#"{"prompt":"a","tool_choice":"auto"}"#, "tool_choice"),
        (r#"{"prompt":"a","tool_choice":"any"}"#, "tool_choice"),
        (r#"{"prompt":"a","parallel_tool_calls":true}"#, "parallel_tool_calls"),
        (r#"{"prompt":"a","response_format":{"type":"xml"}}"#, "response_format.type"),
        (
            r#"{"prompt":"a","response_format":{"type":"json_schema","json_schema":{"name":""}}}"#,
            "response_format.json_schema.name",
        ),
        (r#"{"prompt":"a","n":0}"#, "n"),
        (r#"{"prompt":"a","n":17}"#, "n"),
        (r#"{"prompt":"a","logprobs":21}"#, "logprobs"),
        (r#"{"prompt":"a","guard":{}}"#, "guard"),
        (r#"{"prompt":"a","placement":[]}"#, "placement"),
        (r#"{"prompt":"a","placement":{"mode":"pin"}}"#, "placement.pin_pool_id"),
        (r#"{"prompt":"a","placement":{"pin_node_id":"n"}}"#, "placement.pin_node_id"),
        (r#"{"prompt":"a","placement":{"prefer_pools":["x"]}}"#, "placement.prefer_pools"),
        (r#"{"prompt":"a","placement":{"allow_fallback":false}}"#, "placement.allow_fallback"),
        (r#"{"prompt":"a","placement":{"avoid_pools":["x",7]}}"#, "placement.avoid_pools[1]"),
        (r#"{"prompt":"a","placement":{"avoid_pools":["x","x"]}}"#, "placement.avoid_pools[1]"),
        (r#"{"prompt":"a","placement":{"score":1}}"#, "placement.score"),
        (r#"{"prompt":"a","inputs":["b"]}"#, "inputs"),
        (r#"{"workload":"embedding"}"#, "inputs"),
        (r#"{"workload":"embedding","inputs":["a",""]}"#, "inputs[1]"),
        (r#"{"workload":"embedding","inputs":["a"],"max_tokens":3}"#, "max_tokens"),
        (r#"{"workload":"embedding","inputs":["a"],"prompt":"b"}"#, "prompt"),
        (r#"{"workload":"rerank","inputs":["a"]}"#, "workload"),
        (r#"{"prompt":"a","colour":"red"}"#, "colour"),
        (r#"{"prompt":"a","messages":[{"role":"user","content":"b"}]}"#, "messages"),
        (r#"{"messages":[]}"#, "messages"),
        (r#"{"messages":[{"role":"user"}]}"#, "messages[0].content"),
        (r#"{"messages":[{"role":"user","content":7}]}"#, "messages[0].content"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}"#,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,A*=="}}]}]}"#,
            "messages[0].content[0].image_url.url",
        ),
        (r#"{"model_ref":"m"}"#, "prompt"),
        (r#"{"prompt":"a","client_ref":""}"#, "client_ref"),
        (r#"{"prompt":"a","metadata":{"k":5}}"#, "metadata.k"),
        ("[]", "."),
        (r#"{"prompt":"a","sampling":[0.5]}"#, "sampling"),
        (r#"{"prompt":"a","sampling":null}"#, "sampling"),
    ];
    for (body, field) in cases {
        assert_eq!(field_at_fault(body), field, "{body}");
    }
    assert_eq!(field_at_fault(&format!(r#"{{"prompt":"{long}"}}"#)), "prompt");
}

/// Verifies: ORCH-007
#[test]
fn text_that_is_not_json_is_told_from_json_of_the_wrong_shape() {
    for body in ["", "{", "{\"prompt\":}", "{\"prompt\":\"a\"} x", "\u{1}"] {
        let problem = parse_json::<TaskRequest>(body.as_bytes()).expect_err(body);
        assert!(matches!(problem, BodyProblem::Malformed { .. }), "{body}: {problem:?}");
    }
    let problem = parse_json::<TaskRequest>(b"{\n \"prompt\": nope}").expect_err("bad word");
    assert!(matches!(problem, BodyProblem::Malformed { line: 2, .. }), "{problem:?}");
    assert!(matches!(
        parse_json::<TaskRequest>(b"{\"prompt\":\"\xff\"}"),
        Err(BodyProblem::Malformed { .. })
    ));
}

/// Verifies: ORCH-022
#[test]
fn a_field_of_the_api_that_is_not_served_is_known_as_such() {
    assert!(TaskRequest::is_unserved_field("guard"));
    assert!(!TaskRequest::is_unserved_field("prompt"));
    assert!(!TaskRequest::is_unserved_field("colour"));
}
