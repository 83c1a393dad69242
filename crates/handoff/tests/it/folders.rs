use std::collections::BTreeSet;

use handoff::Notification;
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::json;

use crate::house::{House, external, set_mode, with};

/// Verifies: ORCH-153
#[tokio::test]
async fn files_that_come_change_and_go_are_bound_replaced_and_let_go() {
    // The kernel tells, or it is looked at each second: the same comes of it.
    for notification in [Notification::Wanted, Notification::Off] {
        let mut house = House::new(notification);
        let before = house.put(&external("before", "0"));
        assert_eq!(house.until("bound before.0.json").await, ["bound before.0.json"]);
        let path = house.put(&external("gpu", "a.1"));
        assert_eq!(house.until("bound gpu.a.1.json").await, ["bound gpu.a.1.json"]);
        // The same again, and the same with another time, is no change.
        house.put(&external("gpu", "a.1"));
        house.put(&with(&external("gpu", "a.1"), &json!({"written_at": "2026-11-21T00:00:00Z"})));
        house.put(&with(&external("before", "0"), &json!({"slots_total": 2})));
        assert_eq!(house.until("replaced before.0.json").await, ["replaced before.0.json"]);
        std::fs::remove_file(path).unwrap();
        assert_eq!(house.until("gone gpu.a.1.json").await, ["gone gpu.a.1.json"]);
        std::fs::remove_file(before).unwrap();
        house.until("gone before.0.json").await;
        assert!(house.up.is_empty());
    }
}

/// Verifies: ORCH-154
#[tokio::test]
async fn a_torn_file_is_told_once_and_touches_no_other_until_it_is_whole() {
    for notification in [Notification::Wanted, Notification::Off] {
        let mut house = House::new(notification);
        house.put(&external("good", "0"));
        house.until("bound good.0.json").await;
        let whole = external("torn", "0").to_string();
        house.write("torn.0.json", &whole[..whole.len() / 2]);
        assert_eq!(house.until("half_written torn.0.json").await, ["half_written torn.0.json"]);
        // Looks at other files say nothing of it again.
        let other = house.put(&external("other", "0"));
        assert_eq!(house.until("bound other.0.json").await, ["bound other.0.json"]);
        std::fs::remove_file(other).unwrap();
        assert_eq!(house.until("gone other.0.json").await, ["gone other.0.json"]);
        house.write("torn.0.json", &whole);
        assert_eq!(house.until("bound torn.0.json").await, ["bound torn.0.json"]);
        assert_eq!(house.up, ["good.0.json", "torn.0.json"]);
    }
}

/// Verifies: ORCH-154
#[tokio::test]
async fn a_bound_file_keeps_its_engine_while_it_is_written_anew_and_loses_it_when_it_says_wrong() {
    let mut house = House::new(Notification::Wanted);
    house.put(&external("gpu", "0"));
    house.until("bound gpu.0.json").await;
    house.write("gpu.0.json", "");
    assert_eq!(house.until("half_written gpu.0.json").await, ["half_written gpu.0.json"]);
    house.write("gpu.0.json", "{\"schema\": 1, ");
    assert_eq!(house.until("half_written gpu.0.json").await, ["half_written gpu.0.json"]);
    assert_eq!(house.up, ["gpu.0.json"]);
    house.put(&with(&external("gpu", "0"), &json!({"ctx_max": 100})));
    assert_eq!(house.until("replaced gpu.0.json").await, ["replaced gpu.0.json"]);
    house.put(&with(&external("gpu", "0"), &json!({"ctx": 100})));
    assert_eq!(house.until("gone gpu.0.json").await, ["wrong gpu.0.json", "gone gpu.0.json"]);
}

/// Verifies: ORCH-154, ORCH-151, ORCH-155
#[tokio::test]
async fn each_wrong_file_is_skipped_for_its_own_reason() {
    let mut house = House::new(Notification::Wanted);
    let file = external("p", "0");
    house.write("oversized.0.json", &format!("{file}{}", " ".repeat(65_536)));
    house.until("too_large oversized.0.json").await;
    house.put(&with(&file, &json!({"replica_id": "1", "schema": 2})));
    house.until("unknown_schema p.1.json").await;
    house.put(&with(&file, &json!({"replica_id": "2", "engine": "tgi"})));
    house.until("wrong p.2.json").await;
    house.write("another.0.json", &file.to_string());
    house.until("wrong another.0.json").await;
    for (replica, url) in [("3", "http://192.0.2.7:80"), ("4", "http://localhost:80")] {
        house.put(&with(&file, &json!({"replica_id": replica, "url": url})));
        house.until(&format!("not_loopback p.{replica}.json")).await;
    }
    // Names of files that are being written, and of other things, are nobody's.
    for name in ["p.5.json.tmp", ".p.5.json", "p.5.json~", "notes.txt"] {
        house.write(name, &file.to_string());
    }
    house.put(&file);
    assert_eq!(house.until("bound p.0.json").await, ["bound p.0.json"]);
    assert_eq!(house.up, ["p.0.json"]);
}

/// Verifies: ORCH-240
#[tokio::test]
async fn a_file_that_others_could_have_written_is_ignored_until_that_is_mended() {
    let mut house = House::new(Notification::Wanted);
    let file = house.put(&external("p", "0"));
    house.until("bound p.0.json").await;
    for mode in [0o620, 0o602, 0o666] {
        set_mode(&file, mode);
        assert_eq!(house.until("gone p.0.json").await, ["unsafe p.0.json", "gone p.0.json"]);
        set_mode(&file, 0o644);
        assert_eq!(house.until("bound p.0.json").await, ["bound p.0.json"]);
    }
    // A link to a file that could be used, a pipe, a directory.
    let elsewhere = house.beside().join("elsewhere");
    std::fs::write(&elsewhere, external("link", "0").to_string()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, house.dir().join("link.0.json")).unwrap();
    house.until("unsafe link.0.json").await;
    mkfifo(house.dir().join("pipe.0.json").as_std_path(), Mode::S_IRUSR).unwrap();
    house.until("unsafe pipe.0.json").await;
    std::fs::create_dir(house.dir().join("folder.0.json")).unwrap();
    house.until("unsafe folder.0.json").await;
    if nix::unistd::geteuid().is_root() {
        // Nobody else may give files away.
        let foreign = house.put(&external("foreign", "0"));
        house.until("bound foreign.0.json").await;
        std::os::unix::fs::chown(&foreign, Some(12_345), None).unwrap();
        house.until("gone foreign.0.json").await;
    }
    assert_eq!(house.up, ["p.0.json"]);
}

/// Verifies: ORCH-240
#[tokio::test]
async fn nothing_of_a_directory_that_others_can_write_is_used() {
    let mut house = House::new(Notification::Wanted);
    house.put(&external("p", "0"));
    house.put(&external("p", "1"));
    house.until_up(2).await;
    for mode in [0o770, 0o707] {
        set_mode(&house.dir(), mode);
        house.until("unsafe ").await;
        assert!(house.up.is_empty(), "{:?}", house.up);
        set_mode(&house.dir(), 0o700);
        house.until_up(2).await;
    }
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(house.dir(), Some(12_345), None).unwrap();
        house.until("unsafe ").await;
        assert!(house.up.is_empty(), "{:?}", house.up);
    }
}

/// Verifies: ORCH-240, ORCH-153
#[tokio::test]
async fn a_directory_that_comes_later_or_is_replaced_is_watched_and_a_link_to_one_is_not() {
    let mut house = House::new(Notification::Wanted);
    let (dir, aside) = (house.dir(), house.beside().join("aside"));
    std::fs::remove_dir(&dir).unwrap();
    std::fs::create_dir(&aside).unwrap();
    std::os::unix::fs::symlink(&aside, &dir).unwrap();
    house.until("unsafe ").await;
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(&aside, &dir).unwrap();
    house.put(&external("p", "0"));
    house.until("bound p.0.json").await;
    // It is moved away with all that is in it, and another one takes its place.
    std::fs::rename(&dir, &aside).unwrap();
    house.until("gone p.0.json").await;
    std::fs::create_dir(&dir).unwrap();
    house.put(&external("p", "1"));
    assert_eq!(house.until("bound p.1.json").await, ["bound p.1.json"]);
    std::fs::remove_dir_all(&dir).unwrap();
    house.until("gone p.1.json").await;
}

/// Verifies: ORCH-154
#[tokio::test]
async fn more_files_than_are_looked_at_crowd_out_none_that_is_used() {
    let mut house = House::new(Notification::Off);
    house.put(&external("z", "0"));
    house.until("bound z.0.json").await;
    for replica in 0..300 {
        house.put(&external("a", &replica.to_string()));
    }
    let told = house.until("too_many ").await;
    assert!(!told.contains(&"gone z.0.json".to_owned()), "{told:?}");
    house.until_up(256).await;
    assert_eq!(house.up[0], "z.0.json");
}

#[tokio::test]
async fn a_pool_that_the_configuration_has_is_not_taken_from_a_file() {
    let mut house = House::new(Notification::Wanted);
    house.put(&external("p", "0"));
    house.put(&external("q", "0"));
    house.until_up(2).await;
    house.watcher.set_taken(BTreeSet::from(["p".to_owned()]));
    assert_eq!(house.until("gone p.0.json").await, ["pool_taken p.0.json", "gone p.0.json"]);
    house.watcher.set_taken(BTreeSet::new());
    assert_eq!(house.until("bound p.0.json").await, ["bound p.0.json"]);
}

/// Verifies: ORCH-151
#[tokio::test]
async fn replicas_of_one_pool_are_of_one_kind_of_engine() {
    let mut house = House::new(Notification::Wanted);
    let file = house.put(&external("p", "0"));
    house.put(&external("p", "1"));
    house.until_up(2).await;
    let other = json!({"engine": "vllm"});
    house.put(&with(&external("p", "00"), &other));
    house.until("wrong p.00.json").await;
    house.put(&with(&external("p", "1"), &other));
    assert_eq!(house.until("gone p.1.json").await, ["wrong p.1.json", "gone p.1.json"]);
    assert_eq!(house.up, ["p.0.json"]);
    // A pool of one may become another kind.
    house.put(&with(&external("p", "0"), &other));
    house.until("replaced p.0.json").await;
    house.until_up(3).await;
    std::fs::remove_file(file).unwrap();
    house.until("gone p.0.json").await;
}
