use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    engine_loss::tend,
    events::whole,
    http::Request,
    openmetrics::Page,
    waiting::wait_for,
};

/// The list that is checked in.
fn listed() -> Vec<Value> {
    let list = include_str!("../../../../contracts/generated/metrics.json");
    serde_json::from_str(list).unwrap()
}

/// A daemon that has done something of everything.
fn driven(home: &Home, engine: ScriptedEngine) -> (Daemon, ScriptedEngine, Vec<String>) {
    let daemon = home.start().ready();
    // A failover: the engine dies once.
    let lost = daemon.submit(&scripted_task("[[tokens=30]]"));
    let (engine, deaths) = tend(engine, &daemon, &lost);
    assert_eq!(deaths, 1);
    let daemon = daemon.ready();
    let mut batch = scripted_task("[[tokens=4]]");
    batch["priority"] = json!("batch");
    let mut ids = vec![
        daemon.submit(&scripted_task("[[tokens=7]]")),
        daemon.submit(&batch),
        daemon.submit(&scripted_task("[[error=400]]")),
    ];
    for (id, state) in ids.iter().zip(["succeeded", "succeeded", "failed"]) {
        daemon.wait_until(id, state);
    }
    // Somebody who leaves in the middle, and a task that is cancelled.
    let slow = daemon.submit(&scripted_task("[[tokens=9]] [[stall_after=3]]"));
    let mut reader = daemon.events(&slow);
    reader.take(4);
    drop(reader);
    wait_for("the daemon notices that somebody left", || {
        (Page::of(&daemon).sum("orchd_sse_disconnects_total", &[]) > 0.0).then_some(())
    });
    daemon.cancel(&slow);
    ids.push(slow);
    // Refusals.
    daemon
        .post("/v2/tasks", &json!({"model_ref": "none", "prompt": "x"}))
        .expect_error(404, "MODEL_NOT_FOUND");
    let wrong = json!({"model_ref": "scripted", "prompt": "x", "max_tokens": 0});
    daemon.post("/v2/tasks", &wrong).expect_error(422, "INVALID_PARAMS");
    Request::get("/v2/status")
        .header("Host", "attacker.example")
        .send(daemon.addr)
        .expect_error(403, "HOST_NOT_ALLOWED");
    assert_eq!(daemon.get("/v2/nothing").status, 404);
    // The facade, with a parameter that means nothing here.
    let chat = json!({
        "model": "scripted", "user": "somebody",
        "messages": [{"role": "user", "content": "[[tokens=5]]"}],
    });
    let answer = daemon.post("/v1/chat/completions", &chat);
    assert_eq!(answer.status, 200, "{}", answer.text());
    ids.push(answer.header("x-task-id").unwrap().to_owned());
    ids.push(lost);
    (daemon, engine, ids)
}

/// Verifies: ORCH-261, ORCH-262, ORCH-263, ORCH-264, ORCH-265
#[test]
fn a_page_holds_the_metrics_that_are_listed_and_no_others() {
    let engine = ScriptedEngine::start(&["--fail-after-tokens", "12"]);
    let home = Home::scripted(&engine, "slots = 2\nstrict = true\nchunk_is_token = true", "");
    let (daemon, _engine, _ids) = driven(&home, engine);
    let page = Page::of(&daemon);
    let mut families = BTreeSet::new();
    let mut sample_names = BTreeSet::new();
    for metric in listed() {
        let name = metric["name"].as_str().unwrap();
        let kind = metric["type"].as_str().unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let family = name.strip_suffix(suffix).unwrap_or_else(|| panic!("{name} is a {kind}"));
        assert!(name.starts_with("orchd_"), "{name}");
        assert_eq!(page.types.get(family).map(String::as_str), Some(kind), "{name}");
        families.insert(family.to_owned());
        let endings: &[&str] =
            if kind == "histogram" { &["_sum", "_count", "_bucket"] } else { &[""] };
        let labels: BTreeSet<&str> = metric["labels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|label| label.as_str().unwrap())
            .collect();
        for ending in endings {
            let sample = format!("{name}{ending}");
            let mut expected = labels.clone();
            if *ending == "_bucket" {
                expected.insert("le");
            }
            let mut found = page.samples.iter().filter(|(known, ..)| *known == sample).peekable();
            assert!(found.peek().is_some(), "{sample} has a sample once everything was done once");
            for (_, given, _) in found {
                let given: BTreeSet<&str> = given.keys().map(String::as_str).collect();
                assert_eq!(given, expected, "{sample}");
            }
            sample_names.insert(sample);
        }
    }
    let shown: BTreeSet<String> = page.types.keys().cloned().collect();
    assert_eq!(shown, families);
    let undeclared = page.samples.iter().find(|(name, ..)| !sample_names.contains(name));
    assert_eq!(undeclared, None);
}

/// Verifies: ORCH-261, ORCH-105, ORCH-262, ORCH-263, ORCH-264
#[test]
fn the_values_are_those_of_the_recorded_events() {
    let engine = ScriptedEngine::start(&["--fail-after-tokens", "12"]);
    let home = Home::scripted(&engine, "slots = 2\nstrict = true\nchunk_is_token = true", "");
    let (daemon, _engine, ids) = driven(&home, engine);
    let tasks: Vec<Value> = ids.iter().map(|id| daemon.task(id)).collect();
    let streamed = |id: &String| -> u64 {
        let events = daemon.events(id).rest();
        whole(&events);
        let tokens = events.iter().filter(|event| event.name == "token");
        tokens.map(|event| event.json()["n"].as_u64().unwrap()).sum()
    };
    let tokens: Vec<u64> = ids.iter().map(streamed).collect();
    let recorded = tasks.iter().map(|task| task["usage"]["tokens_out"].as_u64().unwrap());
    assert_eq!(tokens, recorded.collect::<Vec<_>>());
    assert!(tokens[0] > 0 && tokens[3] == 3 && tokens[5] == 30, "{tokens:?}");
    let tokens_out: u64 = tokens.iter().sum();
    let page = Page::of(&daemon);
    let total = |name: &str, labels: &[(&str, &str)]| page.sum(name, labels);
    let count = |number: usize| f64::from(u32::try_from(number).unwrap());
    let model = ("model", "scripted");

    assert_eq!(total("orchd_tasks_admitted_total", &[model]), count(ids.len()));
    assert_eq!(total("orchd_tasks_admitted_total", &[("priority", "batch")]), 1.0);
    assert_eq!(total("orchd_tasks_rejected_total", &[]), 2.0);
    let unknown = [("code", "MODEL_NOT_FOUND"), ("policy", "none")];
    assert_eq!(total("orchd_tasks_rejected_total", &unknown), 1.0);
    assert_eq!(total("orchd_tasks_rejected_total", &[("code", "INVALID_PARAMS")]), 1.0);
    assert_eq!(total("orchd_tasks_started_total", &[("pool", "x")]), count(ids.len()));
    for state in ["succeeded", "failed", "canceled"] {
        let recorded = tasks.iter().filter(|task| task["status"] == state).count();
        assert!(recorded > 0);
        let counted = total("orchd_tasks_finished_total", &[model, ("state", state)]);
        assert_eq!(counted, count(recorded), "{state}");
    }
    assert_eq!(total("orchd_tasks_finished_total", &[("code", "ENGINE_REFUSED")]), 1.0);
    assert_eq!(
        total("orchd_tokens_out_total", &[model, ("pool", "x")]),
        count(usize::try_from(tokens_out).unwrap())
    );
    let recorded_in: f64 =
        tasks.iter().filter_map(|task| task["usage"]["tokens_in"].as_f64()).sum();
    assert_eq!(total("orchd_tokens_in_total", &[model, ("pool", "x")]), recorded_in);

    let further: usize =
        tasks.iter().map(|task| task["attempts"].as_array().unwrap().len() - 1).sum();
    assert!(further > 0, "a worker was lost");
    let completed = [("method", "regenerate"), ("outcome", "completed")];
    assert_eq!(total("orchd_failovers_total", &completed), 1.0);
    assert_eq!(total("orchd_failovers_total", &[]), count(further));

    assert_eq!(total("orchd_sse_disconnects_total", &[("cause", "client")]), 1.0);
    assert_eq!(total("orchd_sse_subscribers", &[]), 0.0);
    assert_eq!(total("orchd_facade_params_ignored_total", &[]), 1.0);
    assert_eq!(total("orchd_auth_failures_total", &[("code", "HOST_NOT_ALLOWED")]), 1.0);
    assert_eq!(total("orchd_slot_release_unknown_total", &[]), 0.0);
    assert_eq!(total("orchd_queue_depth", &[]), 0.0);
    let active = [model, ("state", "Active")];
    assert_eq!(total("orchd_model_state", &active), 1.0);
    assert!(total("orchd_store_bytes", &[("kind", "events")]) > 0.0);
    assert!(total("orchd_store_bytes", &[("kind", "records")]) > 0.0);

    let observed = |name: &str, labels: &[(&str, &str)]| total(&format!("{name}_count"), labels);
    assert_eq!(observed("orchd_admission_seconds", &[]), count(ids.len()));
    assert_eq!(observed("orchd_queue_wait_seconds", &[]), count(ids.len()));
    // All but the refused one had tokens.
    assert_eq!(observed("orchd_first_token_seconds", &[model]), count(ids.len() - 1));
    assert_eq!(observed("orchd_decode_seconds", &[model]), count(ids.len() - 1));
    let attempts_with_tokens = ids.len() - 1 + further;
    assert_eq!(
        observed("orchd_inter_token_seconds", &[model]),
        count(usize::try_from(tokens_out).unwrap() - attempts_with_tokens),
        "one pause less than tokens for each attempt"
    );
    let submitted = [("route", "/v2/tasks"), ("method", "POST")];
    assert_eq!(observed("orchd_http_request_seconds", &submitted), count(ids.len() - 1 + 2));
    let nothing = [("route", "other"), ("method", "GET"), ("status", "404")];
    assert_eq!(observed("orchd_http_request_seconds", &nothing), 1.0);
    assert!(observed("orchd_store_commit_seconds", &[]) >= count(3 * ids.len()));
}

/// Verifies: ORCH-261, ORCH-263
#[test]
fn a_scrape_changes_nothing_and_shows_what_waits_and_runs() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 1", "");
    let daemon = home.start().ready();
    let running = daemon.submit(&scripted_task("[[tokens=5]] [[stall_after=2]]"));
    daemon.wait_until(&running, "running");
    let mut batch = scripted_task("x");
    batch["priority"] = json!("batch");
    daemon.submit(&batch);
    daemon.submit(&scripted_task("y"));
    let mut listener = daemon.events(&running);
    listener.take(3);
    let page = Page::of(&daemon);
    assert_eq!(page.sum("orchd_tasks_running", &[("pool", "x")]), 1.0);
    assert_eq!(page.sum("orchd_queue_depth", &[("priority", "batch")]), 1.0);
    let interactive = [("model", "scripted"), ("priority", "interactive")];
    assert_eq!(page.sum("orchd_queue_depth", &interactive), 1.0);
    assert_eq!(page.sum("orchd_sse_subscribers", &[]), 1.0);
    // Scraping is itself a request, and is looked at as one; a connection may take a while to be gone.
    let without_scrapes = |mut page: Page| {
        page.samples.retain(|(name, labels, _)| {
            labels.get("route").is_none_or(|route| route != "/metrics")
                && name != "orchd_http_connections"
        });
        page
    };
    assert_eq!(without_scrapes(Page::of(&daemon)), without_scrapes(page));
}

/// Verifies: ORCH-265
#[test]
fn names_that_clients_make_up_do_not_reach_the_page() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    for number in 0..300 {
        let body = json!({"model_ref": format!("made-up-{number}"), "prompt": "x"});
        let request = Request::post("/v2/tasks", body.to_string());
        let request = request.header("X-Correlation-Id", &format!("made-up-{number}"));
        request.send(daemon.addr).expect_error(404, "MODEL_NOT_FOUND");
        let path = format!("/v2/tasks/made-up-{number}");
        Request::new("BREW", &path).send(daemon.addr);
    }
    let page = daemon.get("/metrics");
    assert!(!page.text().contains("made-up"), "{}", page.text());
    assert!(page.text().contains("method=\"other\""), "{}", page.text());
    assert!(!page.text().contains("BREW"));
}

/// Verifies: ORCH-262
#[test]
fn a_model_file_with_another_digest_is_counted() {
    let home = Home::new("");
    let path = home.path().join("model.gguf");
    std::fs::write(&path, b"this is no model").unwrap();
    let sha256 = "0".repeat(64);
    home.configure(&format!(
        "[models.m]\nsource = \"file:{path}\"\nsha256 = \"{sha256}\"\n\
         [pools.x]\nengine = \"candle\"\nmodels = [\"m\"]\n"
    ));
    let daemon = home.start();
    daemon.wait_for_pool("x", "backoff");
    let page = Page::of(&daemon);
    assert_eq!(page.sum("orchd_catalog_verifications_total", &[("result", "failed")]), 1.0);
    assert_eq!(page.sum("orchd_catalog_verifications_total", &[("result", "ok")]), 0.0);
}
