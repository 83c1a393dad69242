use std::{
    error::Error as _,
    time::{Duration, SystemTime},
};

use api_types::{ErrorCode, StatusView};
use client::{Client, ClientError};
use tokio::net::TcpStream;

use super::check::Check;

/// Longest wait for a port to answer.
const CONNECT: Duration = Duration::from_secs(2);
/// Clocks that differ by less count as equal: the daemon tells its time to the second.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// What the daemon shows of itself.
pub(super) async fn checks(client: &Client) -> Vec<Check> {
    let clock = match client.clock().await {
        Ok(clock) => clock,
        Err(error) => return absent(client, &error).await,
    };
    let mut checks = Vec::new();
    let status = client.status().await;
    let version = status.as_ref().map_or_else(
        |_unseen| "a daemon answers; its version is not shown".to_owned(),
        |status| format!("orchestratord {} ({}) answers", status.version, status.profile),
    );
    checks.push(Check::well("daemon", version));
    checks.push(readiness(client).await);
    checks.push(token(status.as_ref().err()));
    checks.push(difference(clock));
    match &status {
        Ok(status) => checks.extend([models(status), pools(status), load(status)]),
        Err(_) => {
            for name in ["models", "pools", "load"] {
                checks.push(Check::skipped(name, "the daemon's status cannot be seen"));
            }
        }
    }
    checks
}

/// There is no daemon where it was sought; perhaps something else.
async fn absent(client: &Client, error: &ClientError) -> Vec<Check> {
    let (host, port) = client.address();
    let connected = tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await;
    let is_taken = matches!(connected, Ok(Ok(_)));
    let mut checks = vec![Check::finding(
        "daemon",
        chain(error),
        if is_taken {
            "name the daemon's address with --url or ORCHD_URL"
        } else {
            "start orchestratord, or name its address with --url or ORCHD_URL"
        },
    )];
    checks.push(if is_taken {
        Check::finding(
            "port",
            format!("something other than a sound daemon holds port {port} of {host}"),
            "stop that program, or let the daemon listen elsewhere with --addr or server.addr",
        )
    } else {
        Check::well("port", format!("nothing holds port {port} of {host}"))
    });
    for name in ["readiness", "token", "clock", "models", "pools", "load"] {
        checks.push(Check::skipped(name, "the daemon does not answer"));
    }
    checks
}

async fn readiness(client: &Client) -> Check {
    match client.ready().await {
        Ok(view) if view.ready => Check::well("readiness", "the daemon takes work"),
        Ok(view) => {
            let to_do = match view.failing.first().map(String::as_str) {
                Some("shutdown") => "start the daemon again once it has ended",
                Some("recovery") => "wait until it has read what it keeps",
                Some("store") => "make room on the data directory's disk, and see the daemon's log",
                _ => "see the daemon's log",
            };
            let failing = view.failing.join(", ");
            Check::finding("readiness", format!("the daemon takes no work: {failing}"), to_do)
        }
        Err(error) => Check::finding("readiness", chain(&error), "see the daemon's log"),
    }
}

fn token(error: Option<&ClientError>) -> Check {
    let Some(error) = error else {
        return Check::well("token", "the daemon lets this program see its status");
    };
    let to_do = match error.body().and_then(|body| body.code.known()) {
        Some(ErrorCode::MissingToken) => {
            "name a file with a token: --token-file or ORCHD_TOKEN_FILE"
        }
        Some(ErrorCode::BadToken) => "take the token that the daemon's configuration names",
        Some(ErrorCode::PolicyDenied) => {
            "use a token of scope admin to see the daemon's status; tasks may need less"
        }
        _ => "see the daemon's log",
    };
    Check::finding("token", chain(error), to_do)
}

#[expect(clippy::disallowed_methods, reason = "two clocks are compared, and this is one of them")]
fn difference(daemon: Option<SystemTime>) -> Check {
    let Some(daemon) = daemon else {
        return Check::skipped("clock", "the daemon's answers have no date");
    };
    let now = SystemTime::now();
    let (apart, side) = match daemon.duration_since(now) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    if apart <= CLOCK_TOLERANCE {
        return Check::well("clock", "the daemon's clock agrees with this machine's");
    }
    Check::finding(
        "clock",
        format!("the daemon's clock is {} s {side} this machine's", apart.as_secs()),
        "set both clocks, for instance with a time service",
    )
}

fn models(status: &StatusView) -> Check {
    let active = || status.models.iter().filter(|model| model.state.eq_ignore_ascii_case("active"));
    let name = |model: &api_types::ModelView| {
        model.aliases.first().map_or_else(|| model.id.clone(), Clone::clone)
    };
    let unready: Vec<String> =
        active().filter(|model| model.ready_replicas == 0).map(name).collect();
    match (active().count(), unready.is_empty()) {
        (0, _) if status.models.is_empty() => Check::finding(
            "models",
            "there is none",
            "name one in the configuration, or leave it out to get the starter model",
        ),
        (0, _) => {
            let states =
                status.models.iter().map(|model| format!("{} is {}", name(model), model.state));
            Check::finding(
                "models",
                format!("none is active: {}", states.collect::<Vec<_>>().join(", ")),
                "wait where one is still fetched or checked; else see the daemon's log",
            )
        }
        (count, true) => Check::well("models", format!("all {count} have a ready replica")),
        (_, false) => Check::finding(
            "models",
            format!("no replica is ready of: {}", unready.join(", ")),
            "see the pools, and `orchctl status`; a model that loads is ready by itself",
        ),
    }
}

fn pools(status: &StatusView) -> Check {
    let unready = status.pools.iter().filter(|pool| pool.state != "ready");
    let unready: Vec<String> = unready
        .map(|pool| match &pool.last_error {
            Some(error) => format!("{} is {}: {error}", pool.pool_id, pool.state),
            None => format!("{} is {}", pool.pool_id, pool.state),
        })
        .collect();
    if status.pools.is_empty() {
        return Check::finding("pools", "there is none", "configure one under [pools]");
    }
    if unready.is_empty() {
        return Check::well("pools", format!("all {} are ready", status.pools.len()));
    }
    Check::finding(
        "pools",
        unready.join("; "),
        "wait where one still loads; else check its engine's address, model and log",
    )
}

/// Whether work waits because every slot is taken.
fn load(status: &StatusView) -> Check {
    let waiting: u64 = status.queue.iter().map(|queue| queue.interactive + queue.batch).sum();
    let free: u32 = status.pools.iter().map(|pool| pool.slots_free).sum();
    let total: u32 = status.pools.iter().map(|pool| pool.slots_total).sum();
    let says = format!("{waiting} tasks wait, and {free} of {total} slots are free");
    if waiting > 0 && free == 0 && total > 0 {
        return Check::finding(
            "load",
            says,
            "wait, cancel what is not needed, or add slots or pools",
        );
    }
    Check::well("load", says)
}

fn chain(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}
