use std::{io::Write as _, net::TcpListener, thread};

use camino::Utf8Path;
use serde_json::json;
use testkit::ScriptedEngine;

use crate::{
    daemon::Home,
    http::{Answer, Request},
    waiting::wait_for,
};

const TOKEN: &str = "correct-horse-battery-staple-0123456789";
const ENGINE_KEY: &str = "engine-key-of-the-house-9876543210";
const PROMPT: &str = "the-secret-recipe-of-grandmother";
const STOP: &str = "stop-at-the-hidden-word";
const SECRETS: [&str; 4] = [TOKEN, ENGINE_KEY, PROMPT, STOP];

/// An engine's address that refuses all with what it was sent.
fn echoing_engine() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let body = json!({"error": {"message": format!(
                "wrong key Bearer {ENGINE_KEY} at http://user:{ENGINE_KEY}@host/ for {ENGINE_KEY}"
            )}});
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            // Whoever asked may be gone.
            drop(stream.write_all((head + &body).as_bytes()));
        }
    });
    url
}

/// All files under a folder, but those that are there to keep tasks.
fn files(folder: &Utf8Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "events" {
            files(&path, found);
        } else if path.is_file() && !name.starts_with("store.sqlite") {
            found.push((path.to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

/// Verifies: ORCH-268
#[test]
fn no_secret_leaves_the_daemon() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(
        &engine,
        "key_file = \"KEY\"",
        &format!(
            "[pools.echo]\nengine = \"openai\"\nurl = \"{}\"\nkey_file = \"KEY\"\nmodels = [\"m\"]\n\
             [auth]\ntoken_file = \"TOKEN\"\n[log]\nlevel = \"trace\"",
            echoing_engine()
        ),
    );
    let (key, token) = (home.path().join("key"), home.path().join("token"));
    std::fs::write(&key, format!("{ENGINE_KEY}\n")).unwrap();
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let text = std::fs::read_to_string(home.config()).unwrap();
    let text = text.replace("\"KEY\"", &format!("\"{key}\""));
    std::fs::write(home.config(), text.replace("\"TOKEN\"", &format!("\"{token}\""))).unwrap();

    let daemon = home.start();
    let send = |request: Request| -> Answer {
        request.header("Authorization", &format!("Bearer {TOKEN}")).send(daemon.addr)
    };
    wait_for("the engine is attached", || {
        let status = send(Request::get("/v2/status")).json();
        let pools = status["pools"].as_array().unwrap().clone();
        pools.iter().find(|pool| pool["pool_id"] == "x" && pool["state"] == "ready").cloned()
    });
    let task = |prompt: &str| json!({"model_ref": "scripted", "prompt": format!("{PROMPT} {prompt}"), "sampling": {"stop": [STOP]}});
    let mut shown = Vec::new(); // answers that are not the task itself
    let mut ids = Vec::new();
    for prompt in ["", "[[error=400]]", "[[error=500]]", "[[error_after=2]]", "[[garbage_after=2]]"]
    {
        let answer = send(Request::post("/v2/tasks", task(prompt).to_string()));
        assert_eq!(answer.status, 202, "{}", answer.text());
        ids.push(answer.json()["task_id"].as_str().unwrap().to_owned());
    }
    let mut told_by_engine = 0;
    for id in &ids {
        let task = wait_for("the task ends", || {
            let task = send(Request::get(&format!("/v2/tasks/{id}"))).json();
            (!task["ended_at"].is_null()).then_some(task)
        });
        // What the engine said of the prompt is the task's own.
        let mut error = task["error"].clone();
        if let Some(said) = error["details"]["engine_said"].as_str() {
            assert!(said.contains(PROMPT) && !said.contains(TOKEN), "{said}");
            told_by_engine += 1;
            error["details"] = json!(null);
        }
        shown.push(error.to_string());
    }
    assert_eq!(told_by_engine, 1, "one engine repeats the prompt in its refusal");
    let malformed = [
        format!("{{\"prompt\": \"{PROMPT}\", "),
        format!("{{\"prompt\": [\"{PROMPT}\"], \"stop\": \"{STOP}\"}}"),
        json!({"model_ref": "none", "prompt": PROMPT, "stop": [STOP]}).to_string(),
        json!({"model_ref": "scripted", "prompt": PROMPT, "max_tokens": 0}).to_string(),
    ];
    for body in malformed {
        for path in ["/v2/tasks", "/v1/chat/completions"] {
            let answer = send(Request::post(path, body.clone()));
            assert!(answer.status >= 400, "{}", answer.text());
            shown.push(answer.text().to_owned());
        }
    }
    let refused = [
        Request::get("/v2/status").header("Authorization", &format!("Basic {TOKEN}")),
        Request::get("/v2/status").header("Authorization", &format!("Bearer {TOKEN}x")),
        Request::post("/v2/tasks", task("").to_string()),
    ];
    for request in refused {
        let answer = request.send(daemon.addr);
        assert_eq!(answer.status, 401);
        shown.push(answer.text().to_owned());
    }
    wait_for("the other engine was heard", || home.log().contains("engine_refused").then_some(()));
    for path in ["/metrics", "/v2/status", "/v2/pools"] {
        shown.push(send(Request::get(path)).text().to_owned());
    }
    let mut found = vec![("log".to_owned(), home.log().into_bytes())];
    found.extend(shown.into_iter().map(|text| ("an answer".to_owned(), text.into_bytes())));
    files(&home.data(), &mut found);
    daemon.stop();
    found.push(("log at the end".to_owned(), home.log().into_bytes()));
    for (place, bytes) in &found {
        let text = String::from_utf8_lossy(bytes);
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} in {place}: {text}");
        }
    }
}
