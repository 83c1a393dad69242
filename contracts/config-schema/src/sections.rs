use std::net::{Ipv4Addr, SocketAddr};

use camino::Utf8PathBuf;

use crate::{choice::choices, settings::settings};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

settings! {
    /// The HTTP server: where it listens and what it bears.
    pub struct Server {
        /// Address and port to listen on. Beyond loopback a token is needed (`auth.token_file`). Changes with a
        /// restart.
        addr: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        /// Loopback address and port of a listener of its own for `/metrics`, where no token is asked for. On
        /// `server.addr` the page is there as well, for scope `admin` where tokens are needed.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        metrics_addr: Option<SocketAddr> = None;
        /// Largest body of a request, in bytes; more is answered 413.
        body_max_bytes: u64 = 4 * MIB, 1_024..=1_073_741_824;
        /// Largest head of a request, in bytes; more is answered 431.
        header_max_bytes: usize = 16 * 1024, 8_192..=1_048_576;
        /// Most header fields of a request; more are answered 431.
        headers_max: usize = 64, 16..=1_024;
        /// Longest wait for a request's head, and for a TLS handshake, in milliseconds; then the connection is
        /// closed. A connection may also pause that long between two requests.
        head_read_timeout_ms: u64 = 30_000, 100..=600_000;
        /// Longest time from a request's head to the end of its body, in milliseconds; after it comes 408.
        body_read_timeout_ms: u64 = 10_000, 100..=600_000;
        /// Most connections at once; further ones are closed at once.
        connections_max: usize = 1_024, 1..=1_000_000;
        /// Most concurrent requests of one HTTP/2 connection.
        http2_streams_max: u32 = 100, 1..=10_000;
        /// How long running tasks may go on after the signal to stop, in milliseconds.
        drain_deadline_ms: u64 = 30_000, 0..=3_600_000;
    }
}

settings! {
    /// TLS of the HTTP server. The files are read again on SIGHUP; whether TLS is spoken changes with a restart.
    pub struct Tls {
        /// File of the certificate, with those between it and its authority, in PEM form. Without it plain
        /// text is spoken.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        cert: Option<Utf8PathBuf> = None;
        /// File of the certificate's private key, in PEM form.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        key: Option<Utf8PathBuf> = None;
        /// File of the authorities, in PEM form, of which each client must have a certificate. Without it
        /// clients need none.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        client_ca: Option<Utf8PathBuf> = None;
    }
}

settings! {
    /// How much each client may ask for. A client is a name of `[auth.tokens]`, or everyone on this machine
    /// where no token is needed.
    pub struct RateLimits {
        /// Tasks that each client may hand in, a second; 0 sets no limit.
        requests_per_second: u32 = 0, 0..=1_000_000;
        /// Tasks that a client may hand in at once after it was quiet.
        requests_burst: u32 = 10, 1..=1_000_000;
        /// Tokens of prompts that each client may hand in, a second; 0 sets no limit. Where a model's
        /// tokenizer is not at hand, four bytes count as one.
        prompt_tokens_per_second: u32 = 0, 0..=1_000_000_000;
        /// Tokens of prompts that a client may hand in at once after it was quiet. A longer prompt counts as
        /// this many.
        prompt_tokens_burst: u32 = 32_768, 1..=1_000_000_000;
    }
}

settings! {
    /// Pages of other origins.
    pub struct Cors {
        /// Origins beside the daemon's own whose pages may call, such as `http://localhost:3000`; browsers
        /// are told so. With none of them, browsers are told nothing.
        allowed_origins: Vec<String> = Vec::new() => origin;
    }
}

settings! {
    /// How much may wait.
    pub struct Queue {
        /// Most tasks of one model that wait.
        model_capacity: u32 = 256, 1..=1_000_000;
        /// Most tasks of all models that wait.
        total_capacity: u32 = 4_096, 1..=10_000_000;
        /// Share of a model's capacity that batch tasks may hold, in percent.
        batch_share: u32 = 75, 1..=100;
        /// Most bytes of prompts that wait.
        bytes_max: u64 = 512 * MIB, 2_097_152..=1_099_511_627_776_i64;
        /// Longest wait of a task, in milliseconds; after it the task expires.
        queue_max_ms: u64 = 24 * 3_600_000, 1_000..=31_536_000_000_i64;
        /// What happens to a task that finds no room: it is refused, or takes the place of the oldest one that
        /// never ran, batch before interactive.
        when_full: WhenFull = WhenFull::Reject;
        /// Back-off that whoever meets a full queue is told, in milliseconds, before the rate at which tasks
        /// leave the queue was measured.
        reject_backoff_ms: u64 = 1_000, 1..=60_000;
    }
}

settings! {
    /// How tasks are run.
    pub struct Scheduling {
        /// Longest silence of an engine while it generates, in milliseconds. Changes with a restart.
        idle_ms: u64 = 60_000, 100..=3_600_000;
        /// Longest run of a task over all its attempts, in milliseconds.
        wall_ms: u64 = 3_600_000, 1_000..=604_800_000;
        /// How long an engine may take to confirm that it stopped, in milliseconds.
        cancel_grace_ms: u64 = 5_000, 0..=60_000;
        /// Attempts that may fail by their worker's fault before the task fails.
        max_attempts: u32 = 3, 1..=100;
        /// Unclean ends of the daemon without progress of a task running in it that mark the task as the
        /// likely cause. Changes with a restart.
        poison_limit: u32 = 5, 1..=1_000_000;
        /// Interactive tasks started for each batch task while both wait.
        interactive_weight: u32 = 8, 1..=1_000;
        /// Wait of a model's oldest batch task, in milliseconds, after which every second task that is started
        /// is a batch task.
        batch_max_wait_ms: u64 = 60_000, 0..=604_800_000;
        /// How long the tasks of a pool that SIGHUP takes away or changes may go on there, in milliseconds.
        /// After it, those that another pool can go on with are moved; the others end where they are.
        pool_drain_ms: u64 = 30_000, 0..=3_600_000;
        /// Wait that 95 of 100 interactive tasks of a model should not exceed, in milliseconds. While they do,
        /// the model's batch tasks are refused. 0 turns this off.
        wait_p95_ms: u64 = 0, 0..=86_400_000;
        /// How far back these waits are looked at, in milliseconds; batch is refused for so long at least.
        wait_window_ms: u64 = 60_000, 1_000..=86_400_000;
    }
}

settings! {
    /// Where tasks run.
    pub struct Placement {
        /// How one of several replicas that can run a task is chosen; `models.<id>.strategy` says otherwise for
        /// a model.
        strategy: PlacementStrategy = PlacementStrategy::SessionSticky;
        /// What `session-sticky` chooses by where nothing ties a task to a replica.
        base: BaseStrategy = BaseStrategy::LeastLoaded;
        /// Whether requests may name the only pool or node to use; others get 403.
        allow_pins: bool = true;
    }
}

choices! {
    /// Ways to choose among replicas.
    pub enum PlacementStrategy {
        /// The replica that served before and may still hold what it computed; else as `placement.base` says.
        #[default]
        SessionSticky = "session-sticky",
        /// The smallest share of busy slots, then the most free device memory.
        LeastLoaded = "least-loaded",
        /// The most free device memory, then the fewest busy slots.
        VramAware = "vram-aware",
        /// Each in turn.
        RoundRobin = "round-robin",
    }
}

choices! {
    /// Ways to choose among replicas that need no memory of what ran where.
    pub enum BaseStrategy {
        /// The smallest share of busy slots, then the most free device memory.
        #[default]
        LeastLoaded = "least-loaded",
        /// The most free device memory, then the fewest busy slots.
        VramAware = "vram-aware",
        /// Each in turn.
        RoundRobin = "round-robin",
    }
}

settings! {
    /// Streams of events.
    pub struct Stream {
        /// Events of a task that are kept in memory, in bytes; older ones are read from disk.
        ring_bytes: usize = 64 * 1024, 4_096..=67_108_864;
        /// Shortest time between two `metrics` events, in milliseconds.
        metrics_interval_ms: u64 = 1_000, 100..=3_600_000;
        /// Silence after which a comment keeps the connection open, in milliseconds.
        heartbeat_ms: u64 = 15_000, 100..=3_600_000;
        /// Longest time a write may block, in milliseconds; then the connection is closed, and the client
        /// resumes.
        write_timeout_ms: u64 = 30_000, 100..=3_600_000;
        /// Most subscribers of one task.
        subscribers_per_task: usize = 16, 1..=10_000;
        /// Most subscribers in all.
        subscribers_max: usize = 1_024, 1..=1_000_000;
        /// How long a task with `cancel_on_disconnect` waits for a subscriber to come back, in milliseconds.
        reattach_ms: u64 = 5_000, 0..=600_000;
        /// How long tokens may wait for others to share an event with, in milliseconds; 0 shows each by
        /// itself. Anything else implies `store.token_sync` = "disk". Changes with a restart.
        coalesce_ms: u64 = 0, 0..=50;
    }
}

settings! {
    /// Tasks and events on disk. All of it changes with a restart.
    pub struct Store {
        /// When events reach the disk.
        token_sync: TokenSync = TokenSync::Interval;
        /// Size at which a new segment of events is begun, in bytes.
        segment_bytes: u64 = 64 * MIB, 1_048_576..=1_073_741_824;
    }
}

settings! {
    /// How long ended tasks are kept.
    pub struct Retention {
        /// How long the events of a task stay replayable after its end, in milliseconds.
        event_retention_ms: u64 = 24 * 3_600_000, 1_000..=31_536_000_000_i64;
        /// How long an ended task itself is kept, with its idempotency key, in milliseconds; longer than its
        /// events.
        task_retention_ms: u64 = 7 * 24 * 3_600_000, 2_000..=315_360_000_000_i64;
        /// Room that tasks and events may take, in bytes; beyond it the oldest ended ones go before their
        /// time. At least four segments of `store.segment_bytes`.
        bytes_max: u64 = GIB, 4_194_304..=1_125_899_906_842_624_i64;
    }
}

settings! {
    /// What may be downloaded, and from where. All of it changes with a restart.
    pub struct Egress {
        /// Whether anything may be downloaded.
        enabled: bool = true;
        /// Hosts that may be asked, ports left out; the package index of this machine counts as listed. With
        /// an empty list every public host may be.
        allowed_hosts: Vec<String> = Vec::new() => host;
        /// Places, written `host` or `host:port`, that may be asked although they lie on a private or
        /// loopback network. Without a port, 443 is meant.
        listed_private_hosts: Vec<String> = Vec::new() => place;
        /// The hub that `hf:` sources name repositories of; a mirror on a private network is listed besides.
        hub_url: String = "https://huggingface.co".to_owned() => hub;
        /// A file with the access token for the hub, for models that are not open to all. It is sent to the
        /// hub alone.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        hub_token_file: Option<Utf8PathBuf> = None;
        /// Largest download, in bytes.
        max_bytes: u64 = 64 * GIB, 1_048_576..=1_125_899_906_842_624_i64;
    }
}

settings! {
    /// Models and where they lie.
    pub struct Catalog {
        /// Folders beside the daemon's own that `file:` sources may lie in.
        #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
        model_roots: Vec<Utf8PathBuf> = Vec::new();
        /// Model of requests that name none: an id or alias of `[models]`, or the name of a model that an
        /// attached engine holds. When left out it is the one model of `[models]`, if that is just one.
        default_model: Option<String> = None => crate::model::name;
        /// Whether a model that lacks what is required below is refused, or used with a warning.
        trust: Trust = Trust::Permissive;
        /// Where models may come from: a scheme (`hf:`), a place (`https://host/path`, `hf:owner`,
        /// `pypi:name`, `file:/folder`) with all below it, or a whole source. With an empty list every
        /// source may be. Holds also where `trust` is permissive.
        allowed_sources: Vec<String> = Vec::new() => source_rule;
        /// Whether a model needs a digest that it is expected to have.
        require_digest: bool = true;
        /// Whether a model needs a signature that holds. This build can check none, so that with `trust`
        /// strict no model may be used.
        require_signature: bool = false;
        /// Pause between two looks at the files of models, in milliseconds. One that changed is not used
        /// any more until it was verified again. Changes with a restart.
        recheck_ms: u64 = 5_000, 100..=3_600_000;
    }
}

settings! {
    /// Engines that somebody else starts and hands over by files. All of it changes with a restart.
    pub struct Handoff {
        /// Folder of the files, one for each engine; `engines` in `data_dir` when left out. It and the files
        /// must belong to the daemon's user or root and be writable by nobody else.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        dir: Option<Utf8PathBuf> = None;
    }
}

settings! {
    /// Long-running work, such as fetching a model. All of it changes with a restart.
    pub struct Operations {
        /// Most operations that run at once.
        running_max: usize = 64, 1..=10_000;
        /// Most ended operations that are kept; the oldest go first.
        ended_max: usize = 1_000, 1..=1_000_000;
        /// How long an ended operation is kept, in milliseconds.
        keep_ms: u64 = 24 * 3_600_000, 1_000..=31_536_000_000_i64;
    }
}

settings! {
    /// What is logged, on standard error.
    pub struct Log {
        /// Least level of what is logged.
        level: LogLevel = LogLevel::Info;
        /// The form of the lines. Changes with a restart.
        format: LogFormat = LogFormat::Json;
        /// Whether audit events are logged: who came in, who did not, tokens that changed. They are, whatever the
        /// level, unless this is false.
        audit: bool = true;
    }
}

settings! {
    /// Spans of tasks, for a collector that speaks OTLP over HTTP. Nothing is sent without an endpoint, and
    /// builds without the feature `otlp` refuse one. All of it changes with a restart.
    pub struct Telemetry {
        /// Address of the collector, such as `http://127.0.0.1:4318`; `/v1/traces` is added.
        otlp_endpoint: Option<String> = None => collector;
        /// File of header fields that the collector is sent with each request, such as
        /// `Authorization: Bearer TOKEN`, one a line. Sent over `https`, or to this machine, only.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        otlp_headers_file: Option<Utf8PathBuf> = None;
        /// Most spans that wait to be sent; further ones are dropped and counted.
        otlp_queue_max: usize = 2_048, 1..=1_000_000;
        /// Most spans of one request.
        otlp_batch_max: usize = 512, 1..=10_000;
        /// Longest time that a span waits for others to be sent with, in milliseconds.
        otlp_interval_ms: u64 = 5_000, 1..=3_600_000;
        /// Longest wait for the collector's answer, in milliseconds.
        otlp_timeout_ms: u64 = 10_000, 1..=600_000;
        /// Longest time for the last spans when the daemon ends, in milliseconds.
        otlp_flush_ms: u64 = 2_000, 0..=60_000;
    }
}

choices! {
    /// What becomes of a model that lacks what is required.
    pub enum Trust {
        /// It is used, and its verification says `warn`.
        #[default]
        Permissive = "permissive",
        /// It is refused. No task goes to an engine that was handed over by a file without a process, either.
        Strict = "strict",
    }
}

choices! {
    /// What becomes of a task that finds no room in the queue.
    pub enum WhenFull {
        /// It is refused.
        #[default]
        Reject = "reject",
        /// It takes the place of the oldest task of batch that never ran; of the oldest interactive one where
        /// there is none and it is interactive itself. Where nothing may go, it is refused.
        DropLru = "drop-lru",
    }
}

choices! {
    /// When events reach the disk.
    pub enum TokenSync {
        /// Within 100 ms; a crash of the daemon loses nothing that was shown, a power cut may.
        #[default]
        Interval = "interval",
        /// Before they are shown.
        Disk = "disk",
    }
}

choices! {
    /// Levels of log lines, each with those before it.
    pub enum LogLevel {
        /// What failed.
        Error = "error",
        /// What may need a look.
        Warn = "warn",
        /// What happened.
        #[default]
        Info = "info",
        /// How it happened.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }
}

choices! {
    /// Forms of log lines.
    pub enum LogFormat {
        /// One JSON object a line.
        #[default]
        Json = "json",
        /// For people.
        Human = "human",
    }
}

fn source_rule(text: &str) -> Result<(), &'static str> {
    const SCHEMES: [&str; 5] = ["file:", "https:", "hf:", "pypi:", "remote:"];
    let is_text = text.len() <= 2048 && !text.chars().any(char::is_control);
    if is_text && SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
        Ok(())
    } else {
        Err("a source or the beginning of one, such as \"hf:owner\" or \"https://host/path\"")
    }
}

fn origin(text: &str) -> Result<(), &'static str> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if place(rest).is_ok() => Ok(()),
        _ => Err("an origin in lower case such as \"http://localhost:3000\", without a path"),
    }
}

fn place(text: &str) -> Result<(), &'static str> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let has_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if host(name).is_ok() && has_port {
        Ok(())
    } else {
        Err("a host in lower case, or `host:port`, without a scheme")
    }
}

fn hub(text: &str) -> Result<(), &'static str> {
    let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |rest: &str| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['@', '?', '#', ' '])
    };
    if address.is_some_and(is_plain) {
        Ok(())
    } else {
        Err("an address such as `https://host`, without credentials, query and fragment")
    }
}

fn collector(text: &str) -> Result<(), &'static str> {
    match hub(text) {
        Ok(()) => Ok(()),
        Err(_) => Err(
            "an address such as \"http://127.0.0.1:4318\", without credentials, query and fragment",
        ),
    }
}

impl Telemetry {
    /// What is wrong with sending header fields to the collector.
    pub(crate) fn unfit_headers(&self) -> Option<&'static str> {
        let Some(endpoint) = &self.otlp_endpoint else {
            return Some("means nothing without otlp_endpoint");
        };
        let rest = endpoint.strip_prefix("http://")?; // others are encrypted
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _port)) => address,
            None => authority.split(':').next().unwrap_or_default(),
        };
        let is_loopback = host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        (!is_loopback).then_some(
            "is for a collector on this machine or behind https: others could read what is sent",
        )
    }
}

fn host(text: &str) -> Result<(), &'static str> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let is_name = (1..=253).contains(&text.len()) && text.bytes().all(allowed);
    if is_name || text.parse::<std::net::Ipv6Addr>().is_ok() {
        Ok(())
    } else {
        Err("the name or address of a host in lower case, without scheme and port")
    }
}
