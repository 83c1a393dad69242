use config_schema::{Change, Config, ConfigFile, load};

fn config(text: &str) -> Config {
    let file = ConfigFile { name: "config.toml", text };
    load(Some(file), &[], &[]).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Another value for every key, but for sections by id.
const OTHER: &str = r#"
data_dir = "/elsewhere"
[server]
addr = "127.0.0.1:9"
body_max_bytes = 5000
header_max_bytes = 9000
headers_max = 17
head_read_timeout_ms = 101
body_read_timeout_ms = 102
connections_max = 3
http2_streams_max = 4
drain_deadline_ms = 5
[auth]
token_file = "/t"
[tls]
cert = "/c"
key = "/k"
client_ca = "/a"
[cors]
allowed_origins = ["http://localhost:3000"]
[limits]
requests_per_second = 1
requests_burst = 2
prompt_tokens_per_second = 3
prompt_tokens_burst = 4
[queue]
model_capacity = 1
total_capacity = 2
batch_share = 3
bytes_max = 2097153
queue_max_ms = 1001
reject_backoff_ms = 2
when_full = "drop-lru"
[scheduling]
idle_ms = 101
wall_ms = 1001
cancel_grace_ms = 1
max_attempts = 2
poison_limit = 3
interactive_weight = 4
batch_max_wait_ms = 5
pool_drain_ms = 6
wait_p95_ms = 7
wait_window_ms = 1008
[placement]
strategy = "vram-aware"
base = "round-robin"
allow_pins = false
[stream]
ring_bytes = 4097
metrics_interval_ms = 101
heartbeat_ms = 102
write_timeout_ms = 103
subscribers_per_task = 1
subscribers_max = 2
reattach_ms = 3
coalesce_ms = 4
[store]
token_sync = "disk"
segment_bytes = 1048577
[retention]
event_retention_ms = 1001
task_retention_ms = 2002
bytes_max = 4194308
[egress]
enabled = false
allowed_hosts = ["a"]
listed_private_hosts = ["b"]
hub_url = "https://c"
hub_token_file = "/h"
max_bytes = 1048577
[operations]
running_max = 1
ended_max = 2
keep_ms = 1003
[catalog]
model_roots = ["/m"]
default_model = "n"
trust = "strict"
allowed_sources = ["hf:o"]
require_digest = false
require_signature = true
recheck_ms = 101
[aliases]
short = "starter"
[log]
level = "error"
format = "human"
audit = false
[telemetry]
otlp_queue_max = 1
otlp_batch_max = 2
otlp_interval_ms = 3
otlp_timeout_ms = 4
otlp_flush_ms = 5
"#;

fn keys(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| &*change.key).collect()
}

/// Verifies: ORCH-285
#[test]
fn each_key_either_holds_at_once_or_waits_for_a_restart() {
    let models = "[models.starter]\n[models.n]\nsource = \"file:/n\"\n";
    let running = config(&format!("[catalog]\ndefault_model = \"starter\"\n{models}"));
    let wanted = config(&format!("{OTHER}{models}"));
    let all = running.changes(&wanted);
    // Whoever adds a key gives it another value above, and decides which of the two it is.
    let set: Vec<String> = toml::Table::try_from(&wanted)
        .unwrap()
        .iter()
        .filter(|(name, _)| !["profile", "models", "pools"].contains(&name.as_str()))
        .flat_map(|(name, value)| match value {
            toml::Value::Table(section) => {
                section.keys().map(|key| format!("{name}.{key}")).collect()
            }
            _ => vec![name.clone()],
        })
        .filter(|key| key != "auth.tokens")
        .collect();
    assert_eq!(keys(&all), set);
    let effective = running.reread(&wanted);
    let waiting = effective.changes(&wanted);
    assert_eq!(
        keys(&waiting),
        [
            "catalog.recheck_ms",
            "data_dir",
            "egress.allowed_hosts",
            "egress.enabled",
            "egress.hub_token_file",
            "egress.hub_url",
            "egress.listed_private_hosts",
            "egress.max_bytes",
            "log.format",
            "operations.ended_max",
            "operations.keep_ms",
            "operations.running_max",
            "scheduling.idle_ms",
            "scheduling.poison_limit",
            "server.addr",
            "store.segment_bytes",
            "store.token_sync",
            "stream.coalesce_ms",
            "telemetry.otlp_batch_max",
            "telemetry.otlp_flush_ms",
            "telemetry.otlp_interval_ms",
            "telemetry.otlp_queue_max",
            "telemetry.otlp_timeout_ms",
            "tls.cert",
            "tls.client_ca",
            "tls.key",
        ]
    );
    assert_eq!(running.changes(&effective).len() + waiting.len(), all.len());
    assert_eq!(effective.reread(&wanted), effective, "what was read once is read again");
}

/// Verifies: ORCH-231, ORCH-232, ORCH-285
#[test]
fn a_reload_opens_no_address_that_others_can_reach() {
    let local = config("");
    let with_token = config("[auth]\ntoken_file = \"/t\"");
    let far = config("[server]\naddr = \"0.0.0.0:8080\"\n[auth]\ntoken_file = \"/t\"");
    let needs = |config: Config| config.auth.is_required();
    assert!(needs(local.reread(&with_token)), "tokens begin to hold");
    assert!(!needs(with_token.reread(&local)), "nobody else can come in");
    let held = far.reread(&local);
    assert_eq!((held.auth, held.server.addr), (far.auth.clone(), far.server.addr));
    assert_eq!(keys(&far.reread(&local).changes(&local)), ["auth.token_file", "server.addr"]);
    // The address comes with the next start; the token is there before it.
    assert_eq!(keys(&local.reread(&far).changes(&far)), ["server.addr"]);
}

/// Verifies: ORCH-285
#[test]
fn files_of_tls_are_taken_over_and_whether_it_is_spoken_is_not() {
    let plain = config("");
    let tls = config("[tls]\ncert = \"/c\"\nkey = \"/k\"");
    let other = config("[tls]\ncert = \"/d\"\nkey = \"/l\"\nclient_ca = \"/a\"");
    assert_eq!(tls.reread(&other).tls, other.tls);
    for (running, wanted) in [(&plain, &tls), (&tls, &plain)] {
        assert_eq!(running.reread(wanted).tls, running.tls);
        assert_eq!(keys(&running.reread(wanted).changes(wanted)), ["tls.cert", "tls.key"]);
    }
}

/// Verifies: ORCH-285
#[test]
fn what_changed_is_told_by_its_path_and_without_credentials() {
    let former = config(
        "[models.m]\nsource = \"pypi:m@1#m.gguf\"\n[pools.\"a.b\"]\nengine = \"openai\"\n\
         url = \"http://one:1\"\nslots = 2\n[catalog]\nallowed_sources = [\"https://me:secret@one/m\"]",
    );
    let later = config(
        "[models.m]\nsource = \"file:/m\"\n[pools.\"a.b\"]\nengine = \"openai\"\n\
         url = \"http://two:2\"\nmodels = [\"m\"]\n[catalog]\nallowed_sources = [\"https://me:hidden@two/m\"]",
    );
    let changes = former.changes(&later);
    let found = |key: &str| {
        let change = changes.iter().find(|change| change.key == key);
        let change = change.unwrap_or_else(|| panic!("no {key}: {changes:?}"));
        (change.from.as_deref(), change.to.as_deref())
    };
    assert_eq!(found("pools.\"a.b\".models"), (None, Some("[\"m\"]")));
    assert_eq!(found("pools.\"a.b\".slots"), (Some("2"), Some("1")));
    assert_eq!(found("models.m.source"), (Some("\"pypi:m@1#m.gguf\""), Some("\"file:/m\"")));
    let (from, to) = found("catalog.allowed_sources");
    assert!(from.unwrap().contains("one/m") && to.unwrap().contains("two/m"), "{from:?} {to:?}");
    let all = format!("{changes:?}");
    assert!(!all.contains("secret") && !all.contains("hidden"), "{all}");
    assert_eq!(former.changes(&former), []);
}
