//! What answers can be beyond one plain text, and the routes beside chats.

use serde_json::{Value, json};
use testkit::{Directives, Script, ScriptedEngine, prompt_of_messages};

use crate::{
    daemon::{Daemon, Home, pool_of},
    events::EventReader,
    http::{Answer, Request},
    waiting::wait_for,
};

const ALL: &str = "slots = 4\nchunk_is_token = true\nimage_tokens = 100\n\
    features = [\"json_object\", \"json_schema\", \"logprobs\", \"tools\", \"n\"]";

fn start(pool: &str) -> (ScriptedEngine, Home, Daemon) {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, pool, "");
    let daemon = home.start().ready();
    (engine, home, daemon)
}

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn chat(content: &str, more: &Value) -> Value {
    with(json!({"model": "scripted", "messages": [{"role": "user", "content": content}]}), more)
}

fn text_of(content: &str, tokens: u32) -> String {
    let prompt = prompt_of_messages([("user", content)]);
    Script::new(&prompt, &Directives::read(&prompt)).text(tokens)
}

fn plain_text(prompt: &str, tokens: u32) -> String {
    Script::new(prompt, &Directives::read(prompt)).text(tokens)
}

fn tool() -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!({"type": "function", "function": {"name": "weather", "parameters": parameters}})
}

/// The native task as a request of its own.
fn native(content: &str, more: &Value) -> Value {
    with(json!({"model_ref": "scripted", "messages": [{"role": "user", "content": content}]}), more)
}

fn refused(answer: &Answer, status: u16, field: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    let named = if body["error"].is_object() { &body["error"]["param"] } else { &body["field"] };
    assert_eq!(named, field, "{body}");
}

/// Each feature as the facade and the native API ask for it, with the field that is named.
fn wishes() -> [(Value, Value, &'static str); 6] {
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}});
    let format = |format: Value| json!({"response_format": format});
    let image =
        json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}]);
    let picture = json!({"messages": [{"role": "user", "content": image}]});
    [
        (json!({"n": 2}), json!({"n": 2}), "n"),
        (json!({"logprobs": true}), json!({"logprobs": 0}), "logprobs"),
        (json!({"tools": [tool()]}), json!({"tools": [tool()]}), "tools"),
        (
            format(json!({"type": "json_object"})),
            format(json!({"type": "json_object"})),
            "response_format",
        ),
        (format(schema.clone()), format(schema), "response_format"),
        (picture.clone(), picture, "messages"),
    ]
}

/// Verifies: ORCH-022, ORCH-244, ORCH-248
#[test]
fn what_no_pool_declares_is_refused_at_admission_by_name() {
    let (engine, _home, daemon) = start("slots = 4");
    for (facade, own, field) in wishes() {
        refused(&daemon.post("/v1/chat/completions", &chat("x", &facade)), 400, field);
        refused(&daemon.post("/v2/tasks", &native("x", &own)), 422, field);
    }
    assert!(engine.log().iter().all(|entry| entry["event"] != "started"));
}

/// Verifies: ORCH-239, ORCH-244, ORCH-248
#[test]
fn what_the_pool_declares_reaches_its_engine() {
    let (engine, _home, daemon) = start(ALL);
    for (facade, own, _) in wishes() {
        let before = engine.log().len();
        let answer = daemon.post("/v1/chat/completions", &chat("[[tokens=2]]", &facade));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let task = daemon.submit(&native("[[tokens=2]]", &own));
        daemon.wait_until(&task, "succeeded");
        let log = engine.log();
        let started = log[before..].iter().filter(|entry| entry["event"] == "started");
        let fields: Vec<&Value> = started.map(|entry| &entry["fields"]).collect();
        assert_eq!(fields.len(), 2);
        for name in ["n", "tools", "response_format", "logprobs"] {
            assert_eq!(fields[0].get(name), facade.get(name), "{facade}");
            assert_eq!(fields[1].get(name), facade.get(name), "{own}");
        }
    }
}

/// Verifies: ORCH-075, ORCH-244
#[test]
fn tool_calls_are_events_of_their_own_channel_and_official_chunks() {
    let (_engine, _home, daemon) = start(ALL);
    let content = "[[tokens=5]] [[call_tool]]";
    // Stop strings are never matched in arguments.
    let arguments = text_of(content, 5);
    let word = arguments.split_whitespace().nth(1).unwrap();
    let more = json!({"tools": [tool()], "stop": word});
    let answer = daemon.post("/v1/chat/completions", &chat(content, &more));
    let choice = answer.json()["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
    assert_eq!(choice["message"]["content"], json!(null));
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "weather", "arguments": arguments}));
    assert!(call["id"].as_str().is_some_and(|id| id.starts_with("call-")));

    let task = answer.header("x-task-id").unwrap().to_owned();
    let events = daemon.events(&task).rest();
    let tokens: Vec<Value> = events
        .iter()
        .filter(|block| block.name == "token")
        .map(|block| serde_json::from_str(&block.data).unwrap())
        .collect();
    assert!(tokens.iter().all(|token| token["channel"] == "tool"), "{tokens:?}");
    assert_eq!((&tokens[0]["delta"]["name"], &tokens[0]["t"]), (&json!("weather"), &json!("")));
    let text: String = tokens.iter().map(|token| token["t"].as_str().unwrap()).collect();
    assert_eq!(text, arguments);
    // The log says the same again.
    assert_eq!(daemon.events(&task).rest(), events);

    let body = with(chat(content, &more), &json!({"stream": true}));
    let reply = Request::post("/v1/chat/completions", body.to_string()).open(daemon.addr);
    let mut reader = EventReader::new(reply);
    let chunks = std::iter::from_fn(|| reader.block()).map(|block| block.data);
    let chunks: Vec<Value> = chunks.filter_map(|data| serde_json::from_str(&data).ok()).collect();
    let deltas = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]);
    let streamed: String =
        deltas.filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
    assert_eq!(streamed, arguments);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

/// Verifies: ORCH-075, ORCH-244
#[test]
fn several_answers_are_numbered_and_stopped_each_for_itself() {
    let (_engine, _home, daemon) = start(ALL);
    let content = "[[tokens=8]] twice";
    let whole = text_of(content, 8);
    let stop = whole.split_whitespace().nth(3).unwrap();
    for (more, reason) in [(json!({"n": 2}), "stop"), (json!({"n": 2, "max_tokens": 3}), "length")]
    {
        let answer = daemon.post("/v1/chat/completions", &chat(content, &more)).json();
        let expected = if reason == "length" { text_of(content, 3) } else { whole.clone() };
        for index in 0..2 {
            let choice = &answer["choices"][index];
            assert_eq!(
                (&choice["index"], &choice["finish_reason"]),
                (&json!(index), &json!(reason))
            );
            assert_eq!(choice["message"]["content"], expected);
        }
    }
    let answer =
        daemon.post("/v1/chat/completions", &chat(content, &json!({"n": 2, "stop": stop})));
    let before = whole.split_once(stop).unwrap().0;
    for index in 0..2 {
        assert_eq!(answer.json()["choices"][index]["message"]["content"], before);
    }
    let task = daemon.submit(&native(content, &json!({"n": 2})));
    daemon.wait_until(&task, "succeeded");
    let events = daemon.events(&task).rest();
    for choice in 0..2 {
        let tokens = events.iter().filter(|block| block.name == "token");
        let tokens: Vec<Value> =
            tokens.map(|block| serde_json::from_str(&block.data).unwrap()).collect();
        let own = tokens.iter().filter(|it| it["choice"].as_u64().unwrap_or(0) == choice);
        let indexes: Vec<u64> = own.map(|token| token["i"].as_u64().unwrap()).collect();
        assert_eq!(indexes, (0..8).collect::<Vec<_>>());
    }
    let end: Value = serde_json::from_str(&events.last().unwrap().data).unwrap();
    assert_eq!(end["finish_reasons"], json!(["stop", "stop"]));
    assert_eq!(end["tokens_out"], 16);
}

/// Verifies: ORCH-075, ORCH-241, ORCH-244
#[test]
fn log_probabilities_and_reasoning_come_with_their_tokens() {
    let (_engine, _home, daemon) = start(ALL);
    let more = json!({"logprobs": true, "top_logprobs": 1});
    let answer =
        daemon.post("/v1/chat/completions", &chat("[[tokens=4]] [[reason=2]]", &more)).json();
    let message = &answer["choices"][0]["message"];
    let whole = text_of("[[tokens=4]] [[reason=2]]", 4);
    let reasoning = message["reasoning_content"].as_str().unwrap();
    assert_eq!(format!("{reasoning}{}", message["content"].as_str().unwrap()), whole);
    let entries = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "those of the content: {entries:?}");
    assert_eq!(entries[1]["logprob"], -0.375);
    assert_eq!(entries[1]["top_logprobs"][0]["token"], "else");

    let body = json!({"model": "scripted", "prompt": "[[tokens=3]] plain", "logprobs": 1});
    let answer = daemon.post("/v1/completions", &body).json();
    assert_eq!(
        (&answer["object"], answer["id"].as_str().map(|id| &id[..5])),
        (&json!("text_completion"), Some("cmpl-"))
    );
    let choice = &answer["choices"][0];
    assert_eq!(choice["text"], plain_text("[[tokens=3]] plain", 3));
    assert_eq!(choice["logprobs"]["token_logprobs"], json!([0.0, -0.125, -0.25]));
    assert_eq!(choice["logprobs"]["tokens"].as_array().unwrap().len(), 3);
}

/// Verifies: ORCH-241, ORCH-242, ORCH-249
#[test]
fn plain_completions_are_streamed_and_whole() {
    let (_engine, _home, daemon) = start("slots = 4");
    let prompt = "[[tokens=20]] once upon";
    let body = json!({"model": "scripted", "prompt": prompt});
    let post = |body: &Value| Request::post("/v1/completions", body.to_string());
    let answer = post(&body).header("X-Correlation-Id", "c-9").send(daemon.addr);
    assert_eq!(answer.header("x-request-id"), Some("c-9"));
    let choice = answer.json()["choices"][0].clone();
    // The official default length of this route.
    assert_eq!(
        (&choice["text"], &choice["finish_reason"]),
        (&json!(plain_text(prompt, 16)), &json!("length"))
    );
    let reply = post(&with(body, &json!({"stream": true, "max_tokens": 30}))).open(daemon.addr);
    assert!(reply.header("x-request-id").is_some());
    let mut reader = EventReader::new(reply);
    let data: Vec<String> = std::iter::from_fn(|| reader.block())
        .map(|block| block.data)
        .filter(|data| !data.is_empty())
        .collect();
    let (done, chunks) = data.split_last().unwrap();
    assert_eq!(done, "[DONE]");
    let chunks: Vec<Value> =
        chunks.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let text: String =
        chunks.iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(text, plain_text(prompt, 20));
    // Errors say whose they are too.
    let wrong = post(&json!({"model": "scripted", "prompt": "x", "echo": true}));
    let wrong = wrong.header("X-Correlation-Id", "c-10").send(daemon.addr);
    refused(&wrong, 400, "echo");
    assert_eq!(wrong.header("x-request-id"), Some("c-10"));
}

/// Verifies: ORCH-244
#[test]
fn pools_that_lack_a_feature_are_not_chosen() {
    let (plain, able) = (ScriptedEngine::start(&[]), ScriptedEngine::start(&[]));
    // Both serve the model under one alias only where their names differ: the able one is asked by id.
    let sections = format!(
        "{}\nslots = 4\n[pools.y]\nengine = \"openai\"\nurl = \"{}\"\n{ALL}",
        pool_of(&plain),
        able.url()
    );
    let home = Home::new(&sections);
    let daemon = home.start().ready();
    daemon.wait_for_pool("y", "ready");
    let ask = |model: &str| {
        let body = with(chat("[[tokens=2]]", &json!({"n": 2})), &json!({"model": model}));
        daemon.post("/v1/chat/completions", &body)
    };
    assert_eq!(ask("remote:y/scripted").status, 200);
    refused(&ask("remote:x/scripted"), 400, "n");
}

/// Verifies: ORCH-101, ORCH-103
#[test]
fn an_answer_that_calls_a_tool_is_not_continued_after_its_first_event() {
    let (mut engine, _home, daemon) = start(ALL);
    let task =
        daemon.submit(&native("[[stall_after=0]] [[call_tool]]", &json!({"tools": [tool()]})));
    // The name of the tool is all that was shown.
    wait_for("the call was begun", || {
        (daemon.task(&task)["last_event_id"].as_u64() >= Some(2)).then_some(())
    });
    engine.kill();
    let ended = wait_for("the task ends", || {
        let task = daemon.task(&task);
        (!task["ended_at"].is_null()).then_some(task)
    });
    assert_eq!(
        (&ended["status"], &ended["error"]["code"]),
        (&json!("failed"), &json!("WORKER_RESET"))
    );
    assert_eq!(ended["error"]["retriable"], true);
}

/// Verifies: ORCH-027, ORCH-248
#[test]
fn images_count_as_declared_and_an_answer_beyond_the_context_is_refused() {
    let engine = ScriptedEngine::start(&["--ctx", "250"]);
    let home = Home::scripted(&engine, ALL, "");
    let daemon = home.start().ready();
    let image =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}});
    let images = |count: usize| json!({"model": "scripted", "max_tokens": 100, "messages": [{"role": "user", "content": vec![&image; count]}]});
    assert_eq!(daemon.post("/v1/chat/completions", &images(1)).status, 200);
    let answer = daemon.post("/v1/chat/completions", &images(2));
    let error = answer.json()["error"].clone();
    assert_eq!(
        (answer.status, &error["code"]),
        (400, &json!("context_length_exceeded")),
        "{error}"
    );
    let answer = daemon.post("/v2/tasks", &native("x", &json!({"max_tokens": 251})));
    assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("CONTEXT_EXCEEDED")));
}

const EMBEDS: &str = "slots = 4\nworkloads = [\"embedding\"]";

/// Verifies: ORCH-032, ORCH-077, ORCH-241, ORCH-248
#[test]
fn embeddings_are_tasks_whose_result_is_in_their_end() {
    let (engine, _home, daemon) = start(EMBEDS);
    let task = daemon.submit(&json!({
        "model_ref": "scripted", "workload": "embedding", "inputs": ["[[tokens=2]] one", "\u{8}\u{10}"],
    }));
    daemon.wait_until(&task, "succeeded");
    let events = daemon.events(&task).rest();
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["started", "end"]);
    let end = events[1].json();
    let result = json!({"embeddings": [[11.375, 11.375], [1.0, 2.0]]});
    assert_eq!((&end["result"], &end["tokens_in"]), (&result, &json!(3)), "{end}");
    assert_eq!(daemon.get(&format!("/v2/tasks/{task}/result")).json(), result);
    let fields = &engine.log()[0]["fields"];
    assert_eq!(
        (&fields["model"], &fields["encoding_format"]),
        (&json!("scripted"), &json!("float"))
    );

    let ask = |more: &Value| {
        let body = with(json!({"model": "scripted", "input": "\u{8}\u{10}"}), more);
        daemon.post("/v1/embeddings", &body)
    };
    let answer = ask(&json!({}));
    assert!(answer.header("x-task-id").is_some() && answer.header("x-request-id").is_some());
    let list = answer.json();
    assert_eq!(list["data"][0]["embedding"], json!([1.0, 2.0, 0.0, 0.0]));
    let packed = ask(&json!({"encoding_format": "base64"})).json();
    assert_eq!(packed["data"][0]["embedding"], "AACAPwAAAEAAAAAAAAAAAA==");

    // This pool embeds and does nothing else; a task without a result says so.
    refused(&daemon.post("/v1/chat/completions", &chat("x", &json!({}))), 400, "workload");
    let refusal = ask(&json!({"input": "[[error=400]]"}));
    assert_eq!((refusal.status, &refusal.json()["error"]["code"]), (503, &json!("ENGINE_REFUSED")));
    let failed = refusal.header("x-task-id").unwrap();
    assert_eq!(daemon.get(&format!("/v2/tasks/{failed}/result")).status, 404);
}

/// Verifies: ORCH-077
#[test]
fn a_large_result_is_fetched_apart_also_after_a_restart() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, EMBEDS, "");
    let daemon = home.start().ready();
    let text = "[[tokens=100000]] large";
    let inputs = json!({"model_ref": "scripted", "workload": "embedding", "inputs": [text]});
    let task = daemon.submit(&inputs);
    daemon.wait_until(&task, "succeeded");
    let url = format!("/v2/tasks/{task}/result");
    let end = daemon.events(&task).rest().pop().unwrap().json();
    assert_eq!(
        (end.get("result"), end["result_url"].as_str()),
        (None, Some(url.as_str())),
        "{end}"
    );
    let whole = daemon.get(&url);
    assert_eq!(whole.json()["embeddings"][0].as_array().unwrap().len(), 100_000);
    let list = daemon.post("/v1/embeddings", &json!({"model": "scripted", "input": text})).json();
    assert_eq!(list["data"][0]["embedding"], whole.json()["embeddings"][0]);
    daemon.kill();
    let daemon = home.start();
    assert_eq!(daemon.get(&url).body, whole.body);
}

/// Verifies: ORCH-103
#[test]
fn an_embedding_whose_worker_dies_is_made_again() {
    let mut first = ScriptedEngine::start(&[]);
    let home = Home::scripted(&first, EMBEDS, "");
    let daemon = home.start().ready();
    let inputs = json!({
        "model_ref": "scripted", "workload": "embedding", "inputs": ["[[stall_after=0]]"],
    });
    let task = daemon.submit(&inputs);
    wait_for("the engine has it", || {
        first.log().iter().any(|entry| entry["event"] == "started").then_some(())
    });
    daemon.kill();
    first.kill();
    let second = ScriptedEngine::start(&[]);
    home.configure(&format!("{}\n{EMBEDS}", pool_of(&second)));
    let daemon = home.start().ready();
    wait_for("the other engine has it", || {
        second.log().iter().any(|entry| entry["event"] == "started").then_some(())
    });
    assert_eq!(daemon.cancel(&task)["status"], "canceled");
}

/// Verifies: ORCH-242, ORCH-244
#[test]
fn a_canceled_task_ends_each_of_its_answers() {
    let (_engine, _home, daemon) = start(ALL);
    let mut body = chat("[[tokens=9]] [[stall_after=3]]", &json!({"n": 3}));
    body["stream"] = json!(true);
    let addr = daemon.addr;
    let streaming = std::thread::spawn(move || {
        Request::post("/v1/chat/completions", body.to_string()).send(addr).text().to_owned()
    });
    let task = wait_for("the task runs", || {
        let tasks = daemon.get("/v2/tasks").json();
        let task = tasks["items"].as_array().unwrap().first().cloned()?;
        (task["status"] == "running").then(|| task["task_id"].as_str().unwrap().to_owned())
    });
    daemon.cancel(&task);
    let streamed = streaming.join().unwrap();
    let chunks = streamed.lines().filter_map(|line| line.strip_prefix("data: {"));
    let chunks = chunks.map(|rest| serde_json::from_str(&format!("{{{rest}")).unwrap());
    let ended: Vec<Value> = chunks
        .map(|chunk: Value| chunk["choices"][0].clone())
        .filter(|choice| !choice["finish_reason"].is_null())
        .map(|choice| json!([choice["index"], choice["finish_reason"]]))
        .collect();
    assert_eq!(json!(ended), json!([[0, "length"], [1, "length"], [2, "length"]]), "{streamed}");
    assert!(streamed.ends_with("data: [DONE]\n\n"), "{streamed}");
}
