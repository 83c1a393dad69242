use std::process::Command;

use crate::{
    daemon::Daemon,
    events::whole,
    http::Request,
    starter::{home, python, workspace},
};

/// The examples in a language, as they are printed.
fn examples(readme: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = readme.split(fence.as_str()).skip(1);
    parts.map(|part| part.split_once("```").unwrap().0.to_owned()).collect()
}

/// Runs an example against a daemon; what it printed.
fn run(program: &str, example: &str, daemon: &Daemon) -> String {
    let here = example.replace("http://127.0.0.1:8080", &format!("http://{}", daemon.addr));
    assert_ne!(here, example, "the example names the daemon's address");
    let output = Command::new(program).args(["-c", &here]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{here}\n{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Verifies: ORCH-241, ORCH-242, ORCH-295
#[test]
fn the_readme_s_examples_work_as_they_are_printed() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let (home, _turn) = home();
    let daemon = home.start().with_starter();

    let python_examples = examples(&readme, "python");
    assert_eq!(python_examples.len(), 1);
    let said = run(python().as_str(), &python_examples[0], &daemon);
    assert!(said.ends_with('\n'), "{said:?}");
    let newest = daemon.get("/v2/tasks?limit=1").json()["items"][0].clone();
    assert_eq!(newest["status"], "succeeded");
    let id = newest["task_id"].as_str().unwrap();
    assert_eq!(said.strip_suffix('\n'), Some(whole(&daemon.events(id).rest()).0.as_str()));

    let shell = examples(&readme, "sh");
    let curls: Vec<&String> = shell.iter().filter(|example| example.contains("curl")).collect();
    assert_eq!(curls.len(), 2);
    for curl in curls {
        let said = run("sh", curl, &daemon);
        let is_whole = said.ends_with("data: [DONE]\n\n") || said.contains("event: end");
        assert!(is_whole, "{said}");
    }
    // What a person does next: ask for the events again, from where they were.
    let newest = daemon.get("/v2/tasks?limit=1").json()["items"][0].clone();
    let path = newest["links"]["events_url"].as_str().unwrap();
    let last = newest["last_event_id"].as_u64().unwrap();
    let request = Request::get(path).header("Last-Event-ID", &(last - 1).to_string());
    assert!(request.send(daemon.addr).text().contains("event: end"));
}
