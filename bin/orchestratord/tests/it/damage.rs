use std::{fs::OpenOptions, io::Write as _, os::unix::fs::FileExt as _};

use camino::Utf8PathBuf;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Home, scripted_task},
    events::{Event, whole},
};

/// A home whose daemon ended in order after two answers; their ids and the events of the second.
fn home_with_answers(engine: &ScriptedEngine) -> (Home, [String; 2], Vec<Event>) {
    let home = Home::scripted(engine, "", "");
    let daemon = home.start().ready();
    let ids = ["[[tokens=40]] one", "[[tokens=40]] two"].map(|prompt| {
        let id = daemon.submit(&scripted_task(prompt));
        daemon.wait_until(&id, "succeeded");
        id
    });
    let events = daemon.events(&ids[1]).rest();
    whole(&events);
    daemon.stop();
    (home, ids, events)
}

/// The segment that was written to, and its length.
fn segment(home: &Home) -> (Utf8PathBuf, u64) {
    let path = home.data().join("events/00000000000000000001.seg");
    let len = path.metadata().unwrap().len();
    assert!(len > 1000, "{len} bytes");
    (path, len)
}

/// Verifies: ORCH-096
#[test]
fn a_torn_tail_is_cut_and_said_so() {
    let engine = ScriptedEngine::start(&[]);
    let (home, ids, events) = home_with_answers(&engine);
    let (path, len) = segment(&home);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    // What a write that was cut short leaves: the beginning of a record.
    let whole_segment = std::fs::read(&path).unwrap();
    file.write_all(&whole_segment[24..24 + 60]).unwrap();
    drop(file);
    let daemon = home.start().ready();
    assert!(home.log().contains("a torn tail of the event log is cut"), "{}", home.log());
    assert_eq!(path.metadata().unwrap().len(), len);
    assert_eq!(daemon.events(&ids[1]).rest(), events);
    let next = daemon.submit(&scripted_task("[[tokens=3]]"));
    daemon.wait_until(&next, "succeeded");
}

/// Verifies: ORCH-096
#[test]
fn damage_before_the_tail_stops_the_start_unless_loss_is_accepted() {
    let engine = ScriptedEngine::start(&[]);
    let (home, ids, events) = home_with_answers(&engine);
    let (path, _) = segment(&home);
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[!byte[0]], 100).unwrap();
    let (code, printed) = home.refused_start(home.command());
    assert_eq!(code, Some(1));
    assert!(printed.contains("segment 1") && printed.contains("--accept-loss"), "{printed}");

    let mut command = home.command();
    command.arg("--accept-loss");
    let daemon = home.start_with(command).ready();
    // What is whole is served; of the damaged answer the end is known, and nobody is sent to come back
    // for the rest.
    assert_eq!(daemon.events(&ids[1]).rest(), events);
    let damaged = daemon.task(&ids[0]);
    assert_eq!(damaged["status"], "succeeded");
    let last = damaged["last_event_id"].as_u64().unwrap();
    let path = format!("/v2/tasks/{}/events", ids[0]);
    daemon.get(&path).expect_error(410, "EVENTS_GONE");
    assert_eq!(daemon.events_after(&ids[0], last - 1).rest()[0].name, "end");
    daemon.stop();
    // It was mended: the next start needs no flag.
    home.start().stop();
}

/// Verifies: ORCH-096
#[test]
fn a_log_that_lost_its_synced_end_stops_the_start_unless_loss_is_accepted() {
    let engine = ScriptedEngine::start(&[]);
    let (home, ids, _) = home_with_answers(&engine);
    let (path, len) = segment(&home);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(len / 2).unwrap();
    let (code, printed) = home.refused_start(home.command());
    assert_eq!(code, Some(1));
    assert!(printed.contains("--accept-loss"), "{printed}");
    let mut command = home.command();
    command.arg("--accept-loss");
    let daemon = home.start_with(command).ready();
    assert_eq!(daemon.task(&ids[0])["status"], "succeeded");
}
