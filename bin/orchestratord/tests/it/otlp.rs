use testkit::ScriptedEngine;

use crate::daemon::Home;

/// Verifies: ORCH-269
#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_without_the_export_refuses_an_endpoint() {
    let engine = ScriptedEngine::start(&[]);
    let home =
        Home::scripted(&engine, "", "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4318\"");
    let (_, printed) = home.refused_start(home.command());
    assert!(printed.contains("telemetry.otlp_endpoint"), "{printed}");
    assert!(printed.contains("--features otlp"), "{printed}");
}

#[cfg(feature = "otlp")]
mod exporting {
    use std::{
        collections::BTreeSet,
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        sync::{Arc, Mutex},
        thread,
    };

    use super::{Home, ScriptedEngine};
    use crate::{
        daemon::{Daemon, pool_of, scripted_task},
        http::Request,
        openmetrics::Page,
        waiting::wait_for,
    };

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const STAGES: [&str; 5] = ["admission", "queue", "placement", "dispatch", "stream"];

    /// What of a span matters here; ids in hex.
    #[derive(Debug, Clone)]
    struct Span {
        trace: String,
        id: String,
        parent: String,
        name: String,
    }

    /// A collector that reads the bytes by itself, so that a mistake of the sender's library shows.
    struct Collector {
        url: String,
        spans: Arc<Mutex<Vec<Span>>>,
        /// Heads of the requests.
        heads: Arc<Mutex<Vec<String>>>,
    }

    impl Collector {
        fn start(answers: bool) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let spans = Arc::new(Mutex::new(Vec::new()));
            let heads = Arc::new(Mutex::new(Vec::new()));
            let (told, asked) = (Arc::clone(&spans), Arc::clone(&heads));
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(mut stream) = stream else { return };
                    let (told, asked) = (Arc::clone(&told), Arc::clone(&asked));
                    // Each on a thread of its own: a client may open one more than it needs in the end.
                    thread::spawn(move || {
                        let Some((head, body)) = read_post(&mut stream) else { return };
                        if !answers {
                            // Kept open, until the client has had enough of it.
                            while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
                            return;
                        }
                        asked.lock().unwrap().push(head);
                        told.lock().unwrap().extend(decode(&body));
                        let answer =
                            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                        stream.write_all(answer.as_bytes()).unwrap();
                    });
                }
            });
            Self { url, spans, heads }
        }

        fn spans(&self) -> Vec<Span> {
            self.spans.lock().unwrap().clone()
        }

        fn section(&self, more: &str) -> String {
            format!("[telemetry]\notlp_endpoint = \"{}\"\notlp_interval_ms = 20\n{more}", self.url)
        }
    }

    /// Head and body of a request to the one path that traces go to; `None` where the client leaves without one.
    fn read_post(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let head_end = read.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = head_end {
                let sent = String::from_utf8_lossy(&read[..end]).into_owned();
                let head = sent.to_ascii_lowercase();
                assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
                assert!(head.contains("content-type: application/x-protobuf"), "{head}");
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
                if read.len() >= end + 4 + length {
                    return Some((sent, read[end + 4..end + 4 + length].to_vec()));
                }
            }
            let count = stream.read(&mut buffer).unwrap();
            if count == 0 {
                assert!(read.is_empty(), "a request was cut short");
                return None;
            }
            read.extend_from_slice(&buffer[..count]);
        }
    }

    /// Fields of a protobuf message: number and bytes of those that have a length, the others skipped
    /// (<https://protobuf.dev/programming-guides/encoding/>).
    fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
        fn varint(message: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let (first, rest) = message.split_first().unwrap();
                *message = rest;
                value |= u64::from(first & 0x7f) << shift;
                if first & 0x80 == 0 {
                    break;
                }
            }
            value
        }
        let mut found = Vec::new();
        while !message.is_empty() {
            let tag = varint(&mut message);
            let length = match tag & 7 {
                0 => {
                    varint(&mut message);
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut message)).unwrap(),
                5 => 4,
                other => panic!("wire type {other}"),
            };
            let (value, rest) = message.split_at(length);
            message = rest;
            found.push((tag >> 3, value));
        }
        found
    }

    fn of_field(message: &[u8], number: u64) -> Vec<&[u8]> {
        let found = fields(message).into_iter();
        found.filter(|(of, _)| *of == number).map(|(_, value)| value).collect()
    }

    /// `resource_spans` (1), `scope_spans` (2), `spans` (2); then trace 1, span 2, parent 4, name 5.
    fn decode(request: &[u8]) -> Vec<Span> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text =
            |span: &[u8], number| of_field(span, number).first().copied().map(<[u8]>::to_vec);
        let resources = of_field(request, 1).into_iter();
        let scopes = resources.flat_map(|resource| of_field(resource, 2));
        let spans = scopes.flat_map(|scope| of_field(scope, 2));
        spans
            .map(|span| Span {
                trace: hex(&text(span, 1).unwrap()),
                id: hex(&text(span, 2).unwrap()),
                parent: hex(&text(span, 4).unwrap_or_default()),
                name: String::from_utf8(text(span, 5).unwrap()).unwrap(),
            })
            .collect()
    }

    fn submit_traced(daemon: &Daemon, prompt: &str) -> String {
        let answer = Request::post("/v2/tasks", scripted_task(prompt).to_string())
            .header("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01"))
            .send(daemon.addr);
        answer.json()["task_id"].as_str().unwrap().to_owned()
    }

    /// Verifies: ORCH-269
    #[test]
    fn a_collector_gets_one_trace_a_task_across_a_restart() {
        let engine = ScriptedEngine::start(&[]);
        let collector = Collector::start(true);
        let home = Home::scripted(&engine, "slots = 2\nstrict = true", &collector.section(""));
        let daemon = home.start().ready();
        let task = submit_traced(&daemon, "[[tokens=9]] [[stall_after=3]]");
        daemon.wait_until(&task, "running");
        let engine_has_taken = |times: usize| {
            wait_for("the engine has taken the task, and the collector knows", || {
                let spans = collector.spans();
                let dispatches = spans.iter().filter(|span| span.name == "dispatch").count();
                (dispatches >= times).then_some(())
            });
        };
        engine_has_taken(1);
        daemon.kill();
        let daemon = home.start().ready();
        daemon.wait_until(&task, "running");
        engine_has_taken(2);
        daemon.cancel(&task);
        daemon.wait_until(&task, "canceled");
        let own = daemon.submit(&scripted_task("[[tokens=1]]"));
        daemon.wait_until(&own, "succeeded");
        // What waits is sent at the end.
        daemon.stop();

        let spans = collector.spans();
        let of_trace = |trace: &str| -> Vec<Span> {
            spans.iter().filter(|span| span.trace == trace).cloned().collect()
        };
        let told = of_trace(TRACE);
        let names: BTreeSet<&str> = told.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(STAGES), "{told:?}");
        let admission = told.iter().find(|span| span.name == "admission").unwrap();
        assert_eq!(admission.parent, "b7ad6b7169203331");
        let ids: BTreeSet<&str> = told.iter().map(|span| span.id.as_str()).collect();
        assert_eq!(ids.len(), told.len(), "{told:?}");
        for span in &told {
            let is_linked = ids.contains(span.parent.as_str());
            assert!(is_linked || span.name == "admission", "{span:?} hangs in the air: {told:?}");
        }
        let dispatches: Vec<&Span> = told.iter().filter(|span| span.name == "dispatch").collect();
        assert_eq!(dispatches.len(), 2, "{told:?}");
        // The engine was told where it stands.
        let log = engine.log();
        let heard = log.iter().filter_map(|entry| entry["headers"]["traceparent"].as_str());
        let heard: Vec<&str> = heard.filter(|parent| parent.contains(TRACE)).collect();
        for dispatch in dispatches {
            assert!(heard.iter().any(|parent| parent.contains(&dispatch.id)), "{heard:?}");
        }
        // A task without a client's trace has a whole one of its own.
        let own: BTreeSet<&str> =
            spans.iter().filter(|span| span.trace != TRACE).map(|span| &*span.trace).collect();
        assert_eq!(own.len(), 1, "{spans:?}");
        let own = of_trace(own.first().unwrap());
        assert_eq!(own.len(), STAGES.len(), "{own:?}");
        assert!(own.iter().any(|span| span.name == "admission" && span.parent.is_empty()));
    }

    /// Verifies: ORCH-233, ORCH-269
    #[test]
    fn the_collector_is_sent_the_header_fields_of_a_file_and_nobody_else_sees_them() {
        let engine = ScriptedEngine::start(&[]);
        let collector = Collector::start(true);
        let secret = "opensesame-0123456789";
        let home = Home::scripted(&engine, "", "");
        let file = home.path().join("headers");
        let section = collector.section(&format!("otlp_headers_file = \"{file}\""));
        home.configure(&format!("{}\n{section}\n[log]\nlevel = \"debug\"", pool_of(&engine)));
        let checked = |what: &str| {
            let mut command = home.bare_command(env!("CARGO_BIN_EXE_orchestratord"));
            command.args(["config", what, "--config", home.config().as_str()]);
            let out = command.output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (out.status.code(), text(out.stdout) + &text(out.stderr))
        };
        for (unfit, told) in [
            (secret.to_owned(), "line 1 is no header field"),
            (format!("# who we are\nContent-Type: {secret}"), "line 2"),
        ] {
            std::fs::write(&file, unfit).unwrap();
            let (code, printed) = checked("check");
            assert_eq!(code, Some(2), "{printed}");
            assert!(
                printed.contains(": `telemetry.otlp_headers_file`: ") && printed.contains(told),
                "{printed}"
            );
            assert!(!printed.contains(secret), "{printed}");
        }
        std::fs::write(
            &file,
            format!("# who we are\nAuthorization: Bearer {secret}\n\nX-Team: a\n"),
        )
        .unwrap();
        let (code, printed) = checked("print");
        assert_eq!(code, Some(0), "{printed}");
        assert!(printed.contains(file.as_str()) && !printed.contains(secret), "{printed}");

        let daemon = home.start().ready();
        let task = daemon.submit(&scripted_task("[[tokens=1]]"));
        daemon.wait_until(&task, "succeeded");
        daemon.stop();
        let heads = collector.heads.lock().unwrap().join("\n").to_ascii_lowercase();
        assert!(heads.contains(&format!("\nauthorization: bearer {secret}")), "{heads}");
        assert!(heads.contains("\nx-team: a"), "{heads}");
        assert!(!home.log().contains(secret), "{}", home.log());
    }

    /// Verifies: ORCH-269
    #[test]
    fn a_dead_collector_slows_no_task_and_no_end() {
        let engine = ScriptedEngine::start(&[]);
        let collector = Collector::start(false);
        let section =
            "otlp_queue_max = 4\notlp_batch_max = 1\notlp_timeout_ms = 600000\notlp_flush_ms = 50";
        let home = Home::scripted(&engine, "slots = 4", &collector.section(section));
        let daemon = home.start().ready();
        let tasks: Vec<String> =
            (0..8).map(|_| daemon.submit(&scripted_task("[[tokens=3]]"))).collect();
        for task in &tasks {
            daemon.wait_until(task, "succeeded");
        }
        // Five spans a task: one is on its way for ten minutes, four wait, the rest is dropped.
        wait_for("the rest is counted", || {
            let page = Page::of(&daemon);
            assert!(page.sum("orchd_spans_sent_total", &[]).abs() < 0.5);
            (page.sum("orchd_spans_dropped_total", &[]) >= 35.0).then_some(())
        });
        daemon.stop();
    }

    /// Verifies: ORCH-269
    #[test]
    fn nothing_is_sent_without_an_endpoint_or_against_the_clients_wish() {
        let engine = ScriptedEngine::start(&[]);
        let collector = Collector::start(true);
        let home = Home::scripted(&engine, "", "");
        let daemon = home.start().ready();
        let task = submit_traced(&daemon, "[[tokens=1]]");
        daemon.wait_until(&task, "succeeded");
        assert!(Page::of(&daemon).sum("orchd_spans_dropped_total", &[]).abs() < 0.5);
        daemon.stop();

        let home = Home::scripted(&engine, "", &collector.section(""));
        let daemon = home.start().ready();
        let answer = Request::post("/v2/tasks", scripted_task("[[tokens=1]]").to_string())
            .header("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-00"))
            .send(daemon.addr);
        let unwanted = answer.json()["task_id"].as_str().unwrap().to_owned();
        daemon.wait_until(&unwanted, "succeeded");
        daemon.stop();
        assert!(collector.spans().is_empty(), "{:?}", collector.spans());
    }
}
