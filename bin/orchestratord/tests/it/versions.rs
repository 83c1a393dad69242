//! What the configuration says of engines' versions and of how they draw tokens.

use std::process::Command;

use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    waiting::wait_for,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_orchestratord");

/// What a check of the configuration says; whether it is content.
fn checked(home: &Home) -> (bool, String) {
    let mut command: Command = home.bare_command(PROGRAM);
    let out =
        command.args(["config", "check", "--config", home.config().as_str()]).output().unwrap();
    (out.status.success(), String::from_utf8(out.stderr).unwrap())
}

/// A check's complaint about the last line of the configuration.
fn complaint(sections: &str) -> String {
    let home = Home::new(sections);
    let text = std::fs::read_to_string(home.config()).unwrap();
    let (is_right, printed) = checked(&home);
    assert!(!is_right, "{sections} is right");
    let place = format!("{}:{}: ", home.config(), text.trim_end().lines().count());
    let line = printed.lines().find_map(|line| line.split_once(&place));
    line.unwrap_or_else(|| panic!("{place} is not in {printed}")).1.to_owned()
}

/// The pools `x` and `y` with one model, drawn cold and warm.
fn two_profiles(engines: &[ScriptedEngine; 2], version: &str) -> String {
    let [x, y] = engines;
    format!(
        "[pools.x]\nengine = \"openai\"\nurl = \"{}\"\nengine_version = \"{version}\"\n\
         sampler_profile_version = \"cold\"\n\
         [pools.y]\nengine = \"openai\"\nurl = \"{}\"\nsame_models_as = \"x\"\n\
         sampler_profile_version = \"warm\"\n",
        x.url(),
        y.url()
    )
}

fn drawn_by(profile: &str) -> Value {
    let mut task = scripted_task("[[tokens=3]] drawn");
    task["sampler_profile_version"] = json!(profile);
    task
}

/// What the pools of the only model are said to be: engine's version and sampler profile.
fn told(daemon: &Daemon) -> Vec<(Value, Value)> {
    let able = daemon.get("/v2/meta/capabilities").json();
    let pools = able["models"][0]["pools"].as_array().unwrap().iter();
    let of =
        |pool: &Value| (pool["engine_version"].clone(), pool["sampler_profile_version"].clone());
    pools.map(of).collect()
}

/// Verifies: ORCH-022, ORCH-074, ORCH-251, ORCH-284
#[test]
fn versions_and_profiles_of_attached_servers_are_told_and_kept_to() {
    let engines = [(); 2].map(|()| ScriptedEngine::start(&[]));
    let home = Home::new(&two_profiles(&engines, "b4567"));
    let daemon = home.start();
    daemon.wait_for_pool("x", "ready");
    daemon.wait_for_pool("y", "ready");
    let expected = [(json!("b4567"), json!("cold")), (json!(""), json!("warm"))];
    assert_eq!(told(&daemon), expected);

    for (profile, pool, version) in [("cold", "x", "b4567"), ("warm", "y", "")] {
        for _ in 0..2 {
            let id = daemon.submit(&drawn_by(profile));
            let started = daemon.events(&id).take(1)[0].json();
            assert_eq!(
                (&started["pool_id"], &started["engine_version"]),
                (&json!(pool), &json!(version))
            );
            let ended = daemon.wait_until(&id, "succeeded");
            assert_eq!(ended["parameters"]["sampler_profile_version"], profile);
            assert_eq!(ended["attempts"][0]["engine_version"], version);
            let candidates = ended["decision"]["candidates"].as_array().unwrap();
            let other = candidates.iter().find(|one| one["pool_id"] != pool).unwrap();
            assert_eq!(other["reasons"], json!(["VERSION_MISMATCH"]));
        }
    }
    let refused = daemon.post("/v2/tasks", &drawn_by("hot"));
    assert_eq!(
        (refused.status, &refused.json()["field"]),
        (422, &json!("sampler_profile_version"))
    );
    let empty = daemon.post("/v2/tasks", &drawn_by(""));
    assert_eq!((empty.status, &empty.json()["field"]), (422, &json!("sampler_profile_version")));

    home.configure(&two_profiles(&engines, "b4568"));
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for("the new version is told", || {
        told(&daemon).contains(&(json!("b4568"), json!("cold"))).then_some(())
    });
    daemon.wait_for_pool("x", "ready");
    let id = daemon.submit(&drawn_by("cold"));
    assert_eq!(daemon.wait_until(&id, "succeeded")["attempts"][0]["engine_version"], "b4568");
    daemon.stop();
}

/// Verifies: ORCH-283, ORCH-284
#[test]
fn another_version_than_this_builds_engine_has_is_refused_before_anything_starts() {
    let sections = "[pools.embedded]\nengine_version = \"9.9\"";
    let complaint = complaint(sections);
    let (key, said) = complaint.split_once(": ").unwrap();
    assert_eq!(key, "`pools.embedded.engine_version`");
    let own = said.split('"').nth(1).unwrap();
    let home = Home::new(sections);
    let (_, printed) = home.refused_start(home.command());
    assert!(
        printed.contains("pools.embedded.engine_version") && printed.contains(own),
        "{printed}"
    );
    home.configure(&format!("[pools.embedded]\nengine_version = \"{own}\""));
    assert_eq!(checked(&home), (true, String::new()));
}

/// Verifies: ORCH-284
#[test]
fn a_key_that_nothing_acts_on_yet_is_told_by_file_line_and_name() {
    let told = complaint("[pools.embedded]\nresident = true");
    assert!(told.starts_with("`pools.embedded.resident` = true: nothing in this build"), "{told}");
    let told = complaint("[models.starter]\nprice_in = 3");
    assert!(told.starts_with("`models.starter.price_in` = 3: nothing in this build"), "{told}");
}
