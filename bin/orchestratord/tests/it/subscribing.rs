use serde_json::json;
use testkit::{Directives, Script, ScriptedEngine};

use crate::{
    daemon::{Daemon, Home, scripted_task},
    descriptors::raise_descriptors,
    events::{EventReader, whole},
    http::Request,
    memory::resident_kib,
};

fn text_of(prompt: &str) -> String {
    Script::new(prompt, &Directives::read(prompt)).text(u32::MAX)
}

fn stream(daemon: &Daemon, id: &str, query: &str) -> EventReader {
    EventReader::new(Request::get(&format!("/v2/tasks/{id}/events{query}")).open(daemon.addr))
}

/// Verifies: ORCH-071, ORCH-076, ORCH-081, ORCH-072
#[test]
fn a_stream_opens_while_the_task_waits_and_tells_how() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(
        &engine,
        "slots = 1",
        "[stream]\nmetrics_interval_ms = 100\nheartbeat_ms = 100",
    );
    let daemon = home.start().ready();
    let running = daemon.submit(&scripted_task("[[stall_after=1]]"));
    let first = daemon.submit(&scripted_task("[[tokens=3]] first"));
    let second = daemon.submit(&scripted_task("[[tokens=3]] second"));
    let request = Request::get(&format!("/v2/tasks/{second}/events"));
    let reply = request.header("Accept-Encoding", "gzip, br").open(daemon.addr);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    assert_eq!(reply.header("content-encoding"), None);
    let mut stream = EventReader::new(reply);
    assert_eq!(stream.block().unwrap().lines, ["retry: 1000"]);
    let metrics = stream.block().unwrap();
    assert_eq!((metrics.id, &*metrics.name), (None, "metrics"));
    assert_eq!(metrics.json()["queue_position"], 1);
    assert_eq!(metrics.json()["queue_depth"], 2);
    let comment = stream.block().unwrap();
    assert!(comment.lines[0].starts_with(':'), "{comment:?}");
    daemon.cancel(&first);
    let moved = std::iter::from_fn(|| stream.block()).find(|block| block.name == "metrics");
    assert_eq!(moved.unwrap().json()["queue_position"], 0);
    daemon.cancel(&running);
    let (text, _) = whole(&stream.rest());
    assert_eq!(text, text_of("[[tokens=3]] second"));
    assert!(stream.block().is_none(), "the server closes after the terminal event");
}

/// Verifies: ORCH-073, ORCH-078, ORCH-080
#[test]
fn a_stream_resumes_from_any_id_and_is_equal_for_all() {
    let engine = ScriptedEngine::start(&["--rate", "300"]);
    let home = Home::scripted(&engine, "slots = 4", "");
    let daemon = home.start().ready();
    let prompt = "[[tokens=30]] [[emoji]] again and again";
    let id = daemon.submit(&scripted_task(prompt));
    // Two from the start, one that joins late, while it runs.
    let live: Vec<_> = std::thread::scope(|scope| {
        let one = scope.spawn(|| daemon.events(&id).rest());
        let two = scope.spawn(|| daemon.events(&id).rest());
        let late = scope.spawn(|| daemon.events_after(&id, 5).rest());
        [one, two, late].into_iter().map(|it| it.join().unwrap()).collect()
    });
    let all = &live[0];
    assert_eq!(whole(all).0, text_of(prompt));
    assert_eq!(live[1], *all);
    assert_eq!(live[2], all[5..]);
    let last = all.len() as u64;
    for after in 0..last {
        let from = usize::try_from(after).unwrap();
        assert_eq!(daemon.events_after(&id, after).rest(), all[from..]);
    }
    // The larger of header and query counts.
    let both = Request::get(&format!("/v2/tasks/{id}/events?after={}", last - 1));
    let both = both.header("Last-Event-ID", "2").open(daemon.addr);
    assert_eq!(EventReader::new(both).rest(), all[all.len() - 1..]);

    let at = |query: &str| daemon.get(&format!("/v2/tasks/{id}/events{query}"));
    let nothing_left = at(&format!("?after={last}"));
    assert_eq!((nothing_left.status, nothing_left.body.len()), (204, 0));
    at(&format!("?after={}", last + 1)).expect_error(409, "CONFLICT");
    for (query, field) in [
        ("?after=x", "after"),
        ("?after=-1", "after"),
        ("?after=1&after=2", "after"),
        ("?before=1", "before"),
        ("?error_event=a%20b", "error_event"),
    ] {
        assert_eq!(at(query).expect_error(422, "INVALID_PARAMS")["field"], field);
    }
    let header = Request::get(&format!("/v2/tasks/{id}/events")).header("Last-Event-ID", "abc");
    header.send(daemon.addr).expect_error(422, "INVALID_PARAMS");
}

/// Verifies: ORCH-078
#[test]
fn an_id_that_a_live_task_has_not_reached_is_a_conflict_in_the_end() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[stall_after=2]]"));
    daemon.events(&id).take(3);
    let ahead = Request::get(&format!("/v2/tasks/{id}/events?after=40")).send(daemon.addr);
    ahead.expect_error(409, "CONFLICT");
    // One that it reaches in time is waited for.
    let slow = ScriptedEngine::start(&["--rate", "20"]);
    let home = Home::scripted(&slow, "", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=20]]"));
    let tail = stream(&daemon, &id, "?after=15").rest();
    assert_eq!(tail[0].id, Some(16));
    assert_eq!(tail.last().unwrap().name, "end");
}

/// Verifies: ORCH-003, ORCH-078
#[test]
fn the_error_event_has_the_shape_of_errors_and_the_name_that_was_asked_for() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[error=400]]"));
    let failed = daemon.wait_until(&id, "failed");
    let named = |query: &str| {
        let last = stream(&daemon, &id, query).rest().pop().unwrap();
        assert_eq!(last.json(), failed["error"], "{last:?}");
        last.name
    };
    assert_eq!(named(""), "error");
    assert_eq!(named("?error_event=task-failed"), "task-failed");
}

/// Verifies: ORCH-083, ORCH-080
#[test]
fn a_subscriber_that_lags_or_vanishes_costs_nobody_else_anything() {
    let engine = ScriptedEngine::start(&["--ctx", "100000"]);
    let home = Home::scripted(&engine, "", "[stream]\nring_bytes = 4096");
    let daemon = home.start().ready();
    // More than the ring and the sockets' buffers hold.
    let prompt = "[[tokens=60000]] [[cjk]]";
    let mut task = scripted_task(prompt);
    task["max_tokens"] = json!(60_000);
    let id = daemon.submit(&task);
    let mut lagging = daemon.events(&id);
    let first = lagging.take(1);
    daemon.events(&id).take(10); // and is gone
    let all = daemon.events(&id).rest();
    assert_eq!(whole(&all).0, text_of(prompt));
    daemon.wait_until(&id, "succeeded");
    let rest = lagging.rest();
    assert_eq!(first, all[..1]);
    assert!(rest == all[1..], "the lagging subscriber saw the same");
}

/// Verifies: ORCH-078, ORCH-002
#[test]
fn too_many_subscribers_are_refused_and_resuming_ones_told_to_come_back() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "[stream]\nsubscribers_per_task = 1");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[stall_after=1]]"));
    let mut held = daemon.events(&id);
    held.take(2);
    let refused = daemon.get(&format!("/v2/tasks/{id}/events"));
    let error = refused.expect_error(429, "TOO_MANY_STREAMS");
    assert_eq!(
        refused.header("x-backoff-ms").map(str::to_owned),
        error["retry_after_ms"].as_u64().map(|ms| ms.to_string())
    );
    let resuming = daemon.get(&format!("/v2/tasks/{id}/events?after=1"));
    assert_eq!((resuming.status, resuming.text()), (200, "retry: 1000\n\n"));
    drop(held);
}

/// Verifies: ORCH-275, ORCH-078
#[test]
fn sixteen_may_listen_to_a_task_and_no_more_in_all_than_allowed() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 4", "[stream]\nsubscribers_max = 20");
    let daemon = home.start().ready();
    let [one, other] = [1, 2].map(|_| daemon.submit(&scripted_task("[[stall_after=1]]")));
    let events = |id: &str| Request::get(&format!("/v2/tasks/{id}/events"));
    let check_full = |id: &str| {
        let refused = events(id).send(daemon.addr);
        let error = refused.expect_error(429, "TOO_MANY_STREAMS");
        assert_eq!(error["retriable"], true);
        assert!(refused.header("retry-after").is_some());
        for resuming in [
            events(id).header("Last-Event-ID", "1"),
            Request::get(&format!("/v2/tasks/{id}/events?after=0")),
        ] {
            // A browser comes back from this, and from no other status.
            let answer = resuming.send(daemon.addr);
            assert_eq!((answer.status, answer.text()), (200, "retry: 1000\n\n"));
            assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        }
    };
    let listen = |id: &str| {
        let mut reader = EventReader::new(events(id).open(daemon.addr));
        reader.take(2);
        reader
    };
    let mut ones: Vec<EventReader> = (0..16).map(|_| listen(&one)).collect();
    check_full(&one);
    let mut others: Vec<EventReader> = (0..4).map(|_| listen(&other)).collect();
    check_full(&other);
    // Whoever leaves makes room.
    others.pop();
    crate::waiting::wait_for("there is room", || {
        (events(&other).open(daemon.addr).status == 200).then_some(())
    });
    daemon.cancel(&one);
    assert!(ones.iter_mut().all(|reader| reader.rest().last().unwrap().is_terminal()));
}

/// Most memory that an idle subscriber may cost, in KiB: its buffers are there whatever the build.
const SUBSCRIBER_KIB_MAX: u64 = 20;

/// Verifies: ORCH-275, ORCH-277
#[test]
fn thousands_may_listen_and_each_costs_little() {
    use std::io::{Read as _, Write as _};
    let descriptors = raise_descriptors();
    // As many as there may be open files, in this process and in the daemon, whose limit is the same.
    let count = usize::try_from(descriptors.saturating_sub(500)).unwrap().min(2_000);
    let engine = ScriptedEngine::start(&[]);
    let sections = "[server]\naddr = \"127.0.0.1:0\"\nconnections_max = 3000\n\
                    [stream]\nsubscribers_max = 2000\nsubscribers_per_task = 2000\n\
                    [scheduling]\nidle_ms = 600000";
    let home = Home::scripted(&engine, "", sections);
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[stall_after=3]]"));
    daemon.events(&id).take(4);
    let before_kib = resident_kib(daemon.pid());
    let request = format!("GET /v2/tasks/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut streams: Vec<std::net::TcpStream> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = std::net::TcpStream::connect(daemon.addr).unwrap();
        stream.set_read_timeout(Some(crate::waiting::DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        streams.push(stream);
    }
    let read_until = |stream: &mut std::net::TcpStream, end: &[u8]| {
        let mut bytes = Vec::new();
        let mut buffer = [0; 1024];
        while !bytes.windows(end.len()).any(|window| window == end) {
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&buffer[..read]);
        }
    };
    for stream in &mut streams {
        read_until(stream, b"id: 4");
    }
    let each_kib = resident_kib(daemon.pid()).saturating_sub(before_kib) / count as u64;
    assert!(each_kib <= SUBSCRIBER_KIB_MAX, "{each_kib} KiB each of {count}");
    daemon.cancel(&id);
    for stream in &mut streams {
        read_until(stream, b"event: end");
    }
}
