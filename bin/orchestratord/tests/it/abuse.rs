//! Clients that mean no good, or have lost their way: in each case others are served as before, and the
//! daemon's memory stays where it was.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    descriptors::raise_descriptors,
    http::Request,
    http2::RawHttp2,
    memory::resident_kib,
    waiting::{DEADLINE, wait_for},
};

/// What the daemon may grow by under any of these, in KiB: the buffers of all connections that it takes.
const GROWTH_KIB_MAX: u64 = 160 * 1024;

struct Victim {
    daemon: Daemon,
    before_kib: u64,
    _home: Home,
    _engine: ScriptedEngine,
}

impl Victim {
    fn with(server: &str) -> Self {
        raise_descriptors();
        let engine = ScriptedEngine::start(&[]);
        let server = format!("[server]\naddr = \"127.0.0.1:0\"\n{server}");
        let home = Home::scripted(&engine, "", &server);
        let daemon = home.start().ready();
        let victim = Self { before_kib: 0, daemon, _home: home, _engine: engine };
        victim.serves_others();
        Self { before_kib: resident_kib(victim.daemon.pid()), ..victim }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.daemon.addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// A task goes all its way.
    #[track_caller]
    fn serves_others(&self) {
        let id = self.daemon.submit(&scripted_task("[[tokens=3]]"));
        self.daemon.wait_until(&id, "succeeded");
        assert!(self.daemon.events(&id).rest().last().unwrap().is_terminal());
    }

    #[track_caller]
    fn holds_its_memory(&self) {
        let after_kib = resident_kib(self.daemon.pid());
        let grown_kib = after_kib.saturating_sub(self.before_kib);
        assert!(grown_kib < GROWTH_KIB_MAX, "grew by {grown_kib} KiB to {after_kib} KiB");
    }
}

/// Sends as much of `bytes` as the peer takes; false once it has gone.
fn pour(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}

/// Everything that comes until the peer ends the connection.
fn drained(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => {
                let is_silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!is_silent, "the connection stays open");
                break;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Verifies: ORCH-274
#[test]
fn a_thousand_slow_heads_hinder_nobody_and_end() {
    let victim = Victim::with("head_read_timeout_ms = 10000");
    let head =
        b"GET /v2/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: and so on and so on and so on";
    let mut slow: Vec<TcpStream> = (0..1000).map(|_| victim.connect()).collect();
    for stream in &mut slow {
        stream.set_nonblocking(true).unwrap();
    }
    let mut sent = 0;
    let mut rounds_with_all = 0;
    wait_for("the slow ones are closed", || {
        let byte = [*head.get(sent).unwrap_or(&b'x')];
        sent += 1;
        let is_closed = |stream: &mut TcpStream| match stream.read(&mut [0; 1024]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        slow.retain_mut(|stream| stream.write_all(&byte).is_ok() && !is_closed(stream));
        if slow.len() == 1000 {
            rounds_with_all += 1;
            victim.serves_others();
        }
        slow.is_empty().then_some(())
    });
    assert!(rounds_with_all > 0, "others were served while all of them were there");
    victim.holds_its_memory();
    victim.serves_others();
}

/// Verifies: ORCH-274
#[test]
fn header_bombs_are_refused_however_they_are_built() {
    let victim = Victim::with("");
    let get = "GET /v2/status HTTP/1.1\r\nHost: localhost\r\n";
    let endless_line = format!("{get}X: {}", "y".repeat(1 << 20));
    let endless_fields = format!("{get}{}", "X: y\r\n".repeat(100_000));
    let endless_path = format!("GET /{}", "y".repeat(1 << 20));
    for bomb in [endless_line, endless_fields, endless_path] {
        for _ in 0..20 {
            let mut stream = victim.connect();
            pour(&mut stream, bomb.as_bytes());
            let answer = drained(&mut stream);
            // The system may drop an answer whose reader still sends.
            let is_refused = ["", "HTTP/1.1 431", "HTTP/1.1 414", "HTTP/1.1 400"];
            assert!(is_refused.iter().any(|it| answer.starts_with(it)), "{answer}");
            assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
        }
        victim.serves_others();
    }
    victim.holds_its_memory();
}

/// Verifies: ORCH-007, ORCH-274
#[test]
fn json_of_any_depth_is_refused_and_not_followed() {
    let victim = Victim::with("");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(400_000), close.repeat(400_000));
        let inside = format!("{{\"model_ref\": \"scripted\", \"metadata\": {deep}}}");
        for body in [deep, inside] {
            for path in ["/v2/tasks", "/v1/chat/completions"] {
                let answer = Request::post(path, body.as_str()).send(victim.daemon.addr);
                assert!([400, 413, 422].contains(&answer.status), "{path}: {}", answer.status);
            }
        }
    }
    victim.serves_others();
    victim.holds_its_memory();
}

/// Verifies: ORCH-274
#[test]
fn bodies_without_end_are_cut_off() {
    let victim = Victim::with("body_read_timeout_ms = 500");
    let head = "POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    // Those that stall.
    let mut stalled: Vec<TcpStream> = (0..200).map(|_| victim.connect()).collect();
    for stream in &mut stalled {
        assert!(pour(stream, format!("{head}Content-Length: 1000\r\n\r\n{{").as_bytes()));
    }
    victim.serves_others();
    for stream in &mut stalled {
        let answer = drained(stream);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    // Those that never stop.
    for _ in 0..10 {
        let mut endless = victim.connect();
        assert!(pour(&mut endless, format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()));
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
        let taken = (0..4096).take_while(|_| pour(&mut endless, chunk.as_bytes())).count();
        assert!(taken < 4096, "the daemon takes in 256 MiB");
    }
    victim.serves_others();
    victim.holds_its_memory();
}

/// Verifies: ORCH-274
#[test]
fn a_body_of_two_lengths_hides_no_second_request() {
    let victim = Victim::with("");
    let body = scripted_task("x").to_string();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let ask = |lengths: &str, body: &str| {
        let mut stream = victim.connect();
        let request = format!(
            "POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: \
             application/json\r\n{lengths}\r\n{body}"
        );
        assert!(pour(&mut stream, request.as_bytes()));
        drained(&mut stream)
    };
    let hidden = "GET /v2/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for lengths in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
    ] {
        let answers = ask(lengths, &format!("{chunked}{hidden}"));
        assert!(answers.starts_with("HTTP/1.1 400"), "{lengths}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answers}");
    }
    // Beside chunks a length counts for nothing (RFC 9112, section 6.3): where it is longer than the chunks,
    // it takes in nothing that follows, and where it is shorter, no rest of the chunks is a request.
    for length in [1, chunked.len() + hidden.len()] {
        for lengths in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ] {
            let answers = ask(&lengths, &chunked);
            assert!(answers.starts_with("HTTP/1.1 202"), "{lengths}: {answers}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answers}");
        }
    }
    victim.serves_others();
}

/// Verifies: ORCH-274
#[test]
fn floods_of_http2_streams_and_resets_end_their_connection_only() {
    let victim = Victim::with("");
    let flood = |frames: &dyn Fn(&mut RawHttp2, u32) -> bool, what: &str| {
        let mut attackers: Vec<RawHttp2> =
            (0..8).map(|_| RawHttp2::greet(victim.connect())).collect();
        for attacker in &mut attackers {
            let taken = (0..50_000).take_while(|&at| frames(attacker, at)).count();
            assert!(taken > 0);
        }
        victim.serves_others();
        // One that was thrown out has read why; one whose frames were merely useless is still there.
        for attacker in &mut attackers {
            attacker.close();
        }
        victim.serves_others();
        let grown = resident_kib(victim.daemon.pid()).saturating_sub(victim.before_kib);
        assert!(grown < GROWTH_KIB_MAX, "{what}: grew by {grown} KiB");
    };
    flood(&|it, at| it.get(at * 2 + 1, "/v2/status", true), "streams beyond the limit");
    flood(
        &|it, at| it.get(at * 2 + 1, "/v2/status", true) && it.reset(at * 2 + 1),
        "streams that are reset at once",
    );
    flood(&|it, at| it.get(at * 2 + 1, "/v2/status", false), "requests without an end");
    flood(&|it, _| it.ping(), "pings that nobody waits for");
    flood(&|it, _| it.settings(), "settings that change nothing");
    flood(
        &|it, at| if at == 0 { it.begin_headers(1) } else { it.continue_headers(1) },
        "a head without an end",
    );
    victim.holds_its_memory();
}
