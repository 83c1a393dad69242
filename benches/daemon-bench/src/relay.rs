use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::task::LocalSet;

use crate::{
    clock::now,
    http::Connection,
    options::Options,
    process::Process,
    sample::{Sample, median},
    servers::{self, MODEL, Server},
    stamps::Scanner,
    table::{Row, Table},
};

/// Streams at once and burst of each load: what the target for processor time is told of, one by one and in
/// bursts, and what the one for age is told of.
const LOADS: [(&str, u32, &str); 3] = [
    ("200 streams, 10 ms a token", 200, "1"),
    ("200 streams, bursts of 10", 200, "10"),
    ("100 streams, 10 ms a token", 100, "1"),
];
const STREAMS_MAX: u32 = 200;
/// Tokens a second of each stream.
const RATE: &str = "100";
/// Longest answer, longer than any window.
const TOKENS: u32 = 60_000;
/// Streams are opened so far apart, so that their tokens do not come all at one time.
const APART: Duration = Duration::from_millis(3);
const SETTLE: Duration = Duration::from_secs(1);

/// What was seen of one server in one window.
#[derive(Debug, Clone, Copy)]
struct Seen {
    cpu_us_per_token: f64,
    tokens_per_s: f64,
    p50_us: f64,
    p99_us: f64,
}

/// A server, and what was seen of it in each round.
struct Candidate {
    name: &'static str,
    server: Option<Server>,
    address: SocketAddr,
    seen: Vec<Seen>,
}

#[derive(Default)]
struct Sink {
    ages_ns: Sample,
    is_open: bool,
    tokens: u64,
    failure: Option<anyhow::Error>,
}

/// Streams of paced tokens, then of the same rate in bursts of ten.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    for (label, streams, burst) in LOADS {
        let flags = ["--stamps", "--rate", RATE, "--burst", burst, "--ctx", "100000"];
        let engine = servers::engine(options, 2 * STREAMS_MAX, &flags)?;
        let mut candidates = candidates(options, &engine).await?;
        for round in 0..options.rounds {
            // Another begins each time, so that what slows the machine down meets all of them.
            let count = candidates.len();
            for place in 0..count {
                let offset = usize::try_from(round).unwrap_or(0);
                let candidate = &mut candidates[(place + offset) % count];
                let process = candidate.server.as_ref().map(|server| &server.process);
                let process = process.unwrap_or(&engine.process);
                let seen = window(options, streams, candidate.address, process)
                    .await
                    .with_context(|| format!("{} under {streams} streams", candidate.name))?;
                println!(
                    "relay, {label}, {}: {:.2} us of CPU a token, {:.0} tokens/s, p50 {:.0} us, p99 {:.0} us",
                    candidate.name,
                    seen.cpu_us_per_token,
                    seen.tokens_per_s,
                    seen.p50_us,
                    seen.p99_us
                );
                candidate.seen.push(seen);
            }
        }
        report(label, &candidates, table);
    }
    Ok(())
}

async fn candidates(options: &Options, engine: &Server) -> Result<Vec<Candidate>> {
    let candidate = |name, server: Server| {
        let address = server.address;
        Candidate { name, server: Some(server), address, seen: Vec::new() }
    };
    let mut candidates =
        vec![Candidate { name: DIRECT, server: None, address: engine.address, seen: Vec::new() }];
    let folder = options.folder.join("relay");
    if let Some(binary) = &options.nginx {
        let server = servers::nginx(binary, &folder.join("nginx"), engine.address).await?;
        candidates.push(candidate(NGINX, server));
    }
    if let Some(binary) = &options.vllm_router {
        let server =
            servers::vllm_router(binary, &folder.join("vllm-router"), engine.address).await?;
        candidates.push(candidate("vllm-router", server));
    }
    for (name, folder) in [
        (DAEMON, folder.join("daemon")),
        ("daemon, store in memory", options.memory_folder.join("bench-relay")),
    ] {
        let _ = std::fs::remove_dir_all(&folder);
        let server = servers::daemon(options, &folder, engine.address, 2 * STREAMS_MAX, "").await?;
        candidates.push(candidate(name, server));
    }
    Ok(candidates)
}

const DIRECT: &str = "engine itself";
const NGINX: &str = "nginx";
const DAEMON: &str = "daemon, durable";

/// Opens the streams, lets them settle, and looks at one window of them.
async fn window(
    options: &Options,
    streams: u32,
    address: SocketAddr,
    process: &Process,
) -> Result<Seen> {
    let sink = Rc::new(RefCell::new(Sink::default()));
    let local = LocalSet::new();
    for number in 0..streams {
        let sink = Rc::clone(&sink);
        local.spawn_local(async move {
            tokio::time::sleep(APART * number).await;
            if let Err(error) = stream(address, &sink).await {
                sink.borrow_mut().failure.get_or_insert(error);
            }
        });
    }
    let run = async {
        tokio::time::sleep(APART * streams + SETTLE).await;
        let (start, cpu_start) = (now(), process.cpu_s()?);
        sink.borrow_mut().is_open = true;
        tokio::time::sleep(Duration::from_secs(options.window_s)).await;
        let mut sink = sink.borrow_mut();
        sink.is_open = false;
        let (seconds, cpu_s) =
            (now().duration_since(start).as_secs_f64(), process.cpu_s()? - cpu_start);
        if let Some(failure) = sink.failure.take() {
            return Err(failure);
        }
        if sink.tokens == 0 {
            bail!("no token came");
        }
        #[expect(clippy::cast_precision_loss, reason = "a few million tokens, a few seconds")]
        Ok(Seen {
            cpu_us_per_token: cpu_s * 1e6 / sink.tokens as f64,
            tokens_per_s: sink.tokens as f64 / seconds,
            p50_us: sink.ages_ns.quantile(0.5) as f64 / 1e3,
            p99_us: sink.ages_ns.quantile(0.99) as f64 / 1e3,
        })
    };
    // The streams end with the set.
    local.run_until(run).await
}

async fn stream(address: SocketAddr, sink: &RefCell<Sink>) -> Result<()> {
    let body = json!({
        "model": MODEL, "stream": true, "max_tokens": TOKENS,
        "messages": [{"role": "user", "content": format!("[[tokens={TOKENS}]]")}],
    });
    let mut connection = Connection::open(address).await?;
    let response = connection.post("/v1/chat/completions", body.to_string().into()).await?;
    if !response.status().is_success() {
        crate::http::body_of(response).await?;
        return Ok(());
    }
    let mut body = response.into_body();
    let mut scanner = Scanner::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the stream broke off")?;
        let Some(data) = frame.data_ref() else { continue };
        scanner.feed(data, |age_ns| {
            let mut sink = sink.borrow_mut();
            if sink.is_open {
                sink.tokens += 1;
                sink.ages_ns.add(age_ns);
            }
        });
    }
    bail!("the stream ended before its time")
}

fn report(label: &str, candidates: &[Candidate], table: &mut Table) {
    let figure = |candidate: &Candidate, of: fn(&Seen) -> f64| {
        median(&candidate.seen.iter().map(of).collect::<Vec<_>>())
    };
    let of_name = |name| candidates.iter().find(|candidate| candidate.name == name);
    let cpu = |seen: &Seen| seen.cpu_us_per_token;
    let what = format!("CPU a token, {label}");
    for candidate in candidates.iter().filter(|candidate| candidate.server.is_some()) {
        let mut row = Row::new(&what, candidate.name, format!("{:.2} us", figure(candidate, cpu)));
        if let Some(nginx) = of_name(NGINX) {
            // Of each round with itself: what slowed one down slowed the other.
            let pairs = candidate.seen.iter().zip(&nginx.seen);
            let ratio =
                median(&pairs.map(|(its, other)| cpu(its) / cpu(other)).collect::<Vec<_>>());
            row = row.ratio(format!("{ratio:.2} x nginx"));
            if candidate.name == DAEMON {
                row = row.target("1.25 x nginx", ratio <= 1.25);
            }
        }
        table.add(row);
    }
    let what = format!("age of a token p50/p99, {label}");
    let Some(direct) = of_name(DIRECT) else { return };
    for candidate in candidates {
        let [p50, p99]: [fn(&Seen) -> f64; 2] = [|seen| seen.p50_us, |seen| seen.p99_us];
        let ms = [p50, p99].map(|of| figure(candidate, of) / 1e3);
        let row = Row::new(&what, candidate.name, format!("{:.2}/{:.2} ms", ms[0], ms[1]));
        if candidate.server.is_none() {
            table.add(row);
            continue;
        }
        let added = [p50, p99].map(|of| (figure(candidate, of) - figure(direct, of)) / 1e3);
        let row = row.ratio(format!("{:+.2}/{:+.2} ms added", added[0], added[1]));
        table.add(if candidate.name == DAEMON {
            row.target("5 ms added at p99", added[1] <= 5.0)
        } else {
            row
        });
    }
}
