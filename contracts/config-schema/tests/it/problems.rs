use config_schema::{ConfigFile, load};

/// Checks that `text` has exactly these problems.
fn check(text: &str, expected: &[&str]) {
    check_with(text, &[], expected);
}

fn check_with(text: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let problems = load(Some(ConfigFile { name: "c.toml", text }), &environment, &[]).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown, expected, "of {text}");
}

/// Verifies: ORCH-282
#[test]
fn each_problem_names_file_line_key_value_and_what_is_allowed() {
    let cases: &[(&str, &str)] = &[
        (
            "[server]\nbody_max_bytes = \"4 MiB\"",
            "c.toml:2: `server.body_max_bytes` = \"4 MiB\": allowed is a whole number from 1024 to 1073741824",
        ),
        (
            "[server]\nconnections_max = 0",
            "c.toml:2: `server.connections_max` = 0: allowed is a whole number from 1 to 1000000",
        ),
        (
            "queue.batch_share = 75.5",
            "c.toml:1: `queue.batch_share` = 75.5: allowed is a whole number from 1 to 100",
        ),
        (
            "queue.batch_share = 99999999999999999999",
            "c.toml:1: `queue.batch_share` = 99999999999999999999: allowed is a whole number from 1 to 100",
        ),
        (
            "server.addr = \"localhost\"",
            "c.toml:1: `server.addr` = \"localhost\": allowed is an IP address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
        ),
        ("server = 3", "c.toml:1: `server` = 3: allowed is a section, written [server]"),
        (
            "[[server]]\naddr = '127.0.0.1:1'",
            "c.toml:1: `server` = [a section]: allowed is a section, written [server]",
        ),
        (
            "[cors]\nallowed_origins = [\n  'http://localhost:3000',\n  'http://localhost:3000/app',\n]",
            "c.toml:4: `cors.allowed_origins[1]` = \"http://localhost:3000/app\": allowed is an origin in lower case such as \"http://localhost:3000\", without a path",
        ),
        (
            "[egress]\nenabled = 'yes'",
            "c.toml:2: `egress.enabled` = \"yes\": allowed are true and false",
        ),
        (
            "[egress]\nallowed_hosts = ['Example.org:443']",
            "c.toml:2: `egress.allowed_hosts[0]` = \"Example.org:443\": allowed is the name or address of a host in lower case, without scheme and port",
        ),
        (
            "[store]\ntoken_sync = 'never'",
            "c.toml:2: `store.token_sync` = \"never\": allowed are \"interval\", \"disk\"",
        ),
        (
            "[aliases]\n'hf:x' = 'starter'",
            "c.toml:2: `aliases.\"hf:x\"` = \"starter\": the name must be 1 to 128 of A-Z a-z 0-9 . _ : / -, not beginning like an id or a source",
        ),
        ("[aliases]\nchat = 3", "c.toml:2: `aliases.chat` = 3: allowed is a text in quotes"),
        (
            "[catalog]\nallowed_sources = ['models/']",
            "c.toml:2: `catalog.allowed_sources[0]` = \"models/\": allowed is a source or the beginning of one, such as \"hf:owner\" or \"https://host/path\"",
        ),
        (
            "[catalog]\ntrust = 'blind'",
            "c.toml:2: `catalog.trust` = \"blind\": allowed are \"permissive\", \"strict\"",
        ),
        ("data_dir = ''", "c.toml:1: `data_dir` = \"\": allowed is a path in quotes"),
        (
            "data_dir = '~/o'",
            "c.toml:1: `data_dir` = \"~/o\": allowed is a path written out; `~` is not replaced",
        ),
        (
            "profile = 'cloud'",
            "c.toml:1: `profile` = \"cloud\": the profile \"cloud\" is not served by this build; use \"home\"",
        ),
        (
            "[log]\nlevel = 'info'\nformt = 'json'",
            "c.toml:3: `log.formt`: no such key; allowed are level, format, audit",
        ),
        (
            "[models.'a b']\nsource = 'file:/m'",
            "c.toml:1: `models.\"a b\"`: an id has 1 to 128 of A-Z a-z 0-9 . _ -",
        ),
        (
            "[models.m]",
            "c.toml:1: `models.m.source`: is missing; give \"file:/absolute/path\", \"https://host/path\", \"hf:owner/repository/path@revision\" or \"pypi:name@version#member\"",
        ),
        (
            "[models.m]\nsource = 'https://u:secret@h/m.gguf'",
            "c.toml:2: `models.m.source` = \"https://***@h/m.gguf\": allowed is \"file:/absolute/path\", \"https://host/path\", \"hf:owner/repository/path@revision\" or \"pypi:name@version#member\"",
        ),
        (
            "[models.starter]\nsha256 = 'B179'",
            "c.toml:2: `models.starter.sha256` = \"B179\": allowed is 64 lower-case hexadecimal digits",
        ),
        (
            "[models.starter]\naliases = ['sha256:00']",
            "c.toml:2: `models.starter.aliases[0]` = \"sha256:00\": allowed is 1 to 128 of A-Z a-z 0-9 . _ : / -, not beginning like an id or a source",
        ),
    ];
    for (text, expected) in cases {
        check(text, &[expected]);
    }
}

/// Verifies: ORCH-282
#[test]
fn contradictions_are_problems() {
    let cases: &[(&str, &str)] = &[
        (
            "server.metrics_addr = '0.0.0.0:9464'",
            "c.toml:1: `server.metrics_addr` = \"0.0.0.0:9464\": asks for no token, so it must be on 127.0.0.1 or [::1]",
        ),
        (
            "queue.total_capacity = 100",
            "c.toml:1: `queue.model_capacity`: is above total_capacity (100)",
        ),
        (
            "[stream]\nsubscribers_max = 8\nsubscribers_per_task = 9",
            "c.toml:3: `stream.subscribers_per_task` = 9: is above subscribers_max (8)",
        ),
        (
            "telemetry.otlp_headers_file = '/h'",
            "c.toml:1: `telemetry.otlp_headers_file` = \"/h\": means nothing without otlp_endpoint",
        ),
        (
            "[telemetry]\notlp_endpoint = 'http://127.0.0.1.example:4318'\notlp_headers_file = '/h'",
            "c.toml:3: `telemetry.otlp_headers_file` = \"/h\": is for a collector on this machine or behind https: others could read what is sent",
        ),
        (
            "[pools.p]\nengine = 'openai'",
            "c.toml:1: `pools.p.url`: is missing; give the address of the server",
        ),
        (
            "[pools.p]\nengine = 'openai'\nurl = 'http://127.0.0.1:1'\nthreads = 2",
            "c.toml:4: `pools.p.threads` = 2: not for a pool with engine \"openai\", which has its own",
        ),
        (
            "[pools.p]\nengine = 'candle'\nurl = 'http://127.0.0.1:1'",
            "c.toml:3: `pools.p.url` = \"http://127.0.0.1:1\": not for a pool with engine \"candle\", which runs one task at a time in the daemon",
        ),
        (
            "[pools.p]\nengine = 'openai'\nurl = 'http://127.0.0.1:1'\nsame_models_as = 'q'",
            "c.toml:4: `pools.p.same_models_as` = \"q\": allowed is another pool with engine \"openai\" that has models of its own, not \"q\"",
        ),
        (
            "[pools.p]\nslots = 2",
            "c.toml:1: `pools.p.engine`: is missing; give \"candle\" or \"openai\"",
        ),
        (
            "[pools.p]\nengine = 'candle'\nmodels = ['other']",
            "c.toml:3: `pools.p.models` = [\"other\"]: the model \"other\" has no section [models.other]",
        ),
        (
            "[pools.p]\nengine = 'openai'\nurl = 'http://key@h:1'",
            "c.toml:3: `pools.p.url` = \"http://***@h:1\": allowed is an address such as \"http://127.0.0.1:8000\", without user, query or fragment",
        ),
        (
            "[models.a]\nsource = 'file:/a'\naliases = ['b']\n[models.b]\nsource = 'file:/b'",
            "c.toml:3: `models.a.aliases` = [\"b\"]: the name \"b\" is already that of the model b",
        ),
        (
            "[aliases]\nstarter = 'x'",
            "c.toml:2: `aliases.starter` = \"x\": the name \"starter\" is already that of the model starter",
        ),
        (
            "[catalog]\ndefault_model = 'big'",
            "c.toml:2: `catalog.default_model` = \"big\": no such model is configured; there are starter",
        ),
    ];
    for (text, expected) in cases {
        check(text, &[expected]);
    }
}

/// Verifies: ORCH-282
#[test]
fn all_problems_of_file_and_environment_come_in_one_run() {
    let text = "profil = 'home'\n[server]\naddr = 8080\n[nodes]\n[queue]\nbatch_share = 101\n";
    let environment = [
        ("ORCHD_QUEUE__BYTES_MAX", "much"),
        ("ORCHD_QUEUE__BYTES", "5"),
        ("ORCHD_QUEUE", "5"),
        ("ORCHD_LOG", "debug"),
    ];
    let sections = "profile, data_dir, server, auth, tls, cors, limits, queue, scheduling, placement, \
                    stream, store, retention, egress, operations, handoff, aliases, pools, models, catalog, log, telemetry";
    check_with(
        text,
        &environment,
        &[
            &format!("c.toml:1: `profil`: no such key; allowed are {sections}"),
            "c.toml:3: `server.addr` = 8080: allowed is an IP address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
            &format!("c.toml:4: `nodes`: no such key; allowed are {sections}"),
            "c.toml:6: `queue.batch_share` = 101: allowed is a whole number from 1 to 100",
            "environment variable ORCHD_LOG: no such setting; allowed are ORCHD_<SECTION>__<KEY>, ORCHD_ADDR, ORCHD_TOKEN_FILE, ORCHD_PROFILE, ORCHD_DATA_DIR",
            "environment variable ORCHD_QUEUE: no such setting; allowed are ORCHD_<SECTION>__<KEY>, ORCHD_ADDR, ORCHD_TOKEN_FILE, ORCHD_PROFILE, ORCHD_DATA_DIR",
            "environment variable ORCHD_QUEUE__BYTES: `queue.bytes`: no such key; allowed are model_capacity, total_capacity, batch_share, bytes_max, queue_max_ms, when_full, reject_backoff_ms",
            "environment variable ORCHD_QUEUE__BYTES_MAX: `queue.bytes_max` = \"much\": allowed is a whole number from 2097152 to 1099511627776",
        ],
    );
}

/// Verifies: ORCH-282
#[test]
fn two_variables_for_one_key_must_agree() {
    check_with(
        "",
        &[("ORCHD_ADDR", "127.0.0.1:1"), ("ORCHD_SERVER__ADDR", "127.0.0.1:2")],
        &[
            "environment variable ORCHD_SERVER__ADDR: `server.addr` = \"127.0.0.1:2\": ORCHD_ADDR says otherwise",
        ],
    );
}

/// Verifies: ORCH-282
#[test]
fn text_that_is_not_toml_is_a_problem_of_its_line() {
    let problems = load(
        Some(ConfigFile { name: "c.toml", text: "[server]\naddr = \n[log]\nlevel = 'loud'\n" }),
        &[],
        &[],
    )
    .unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(shown[0].starts_with("c.toml:2: this is not TOML"), "{shown:?}");
    assert!(shown.last().unwrap().starts_with("c.toml:4: `log.level` = \"loud\""), "{shown:?}");
}

#[test]
fn a_key_given_twice_is_a_problem() {
    let text = "[log]\nlevel = 'info'\nlevel = 'debug'\n";
    let problems = load(Some(ConfigFile { name: "c.toml", text }), &[], &[]).unwrap_err();
    assert!(problems[0].to_string().starts_with("c.toml:3: this is not TOML"), "{problems:?}");
}

/// Verifies: ORCH-234, ORCH-282
#[test]
fn a_token_needs_scope_and_file_and_a_name_of_its_own() {
    check(
        "[auth.tokens.ann]\nscope = 'root'",
        &[
            "c.toml:1: `auth.tokens.ann.file`: is missing; give the file that holds the token",
            "c.toml:2: `auth.tokens.ann.scope` = \"root\": allowed are \"client\", \"admin\", \"node\"",
        ],
    );
    let token = |name: &str| format!("[auth.tokens.{name}]\nscope = 'node'\nfile = '/t'");
    check(
        &token("localhost"),
        &[
            "c.toml:1: `auth.tokens.localhost` = a section: this name stands for callers without a token; use another",
        ],
    );
    check(
        &format!("auth.token_file = '/d'\n{}", token("default")),
        &[
            "c.toml:2: `auth.tokens.default` = a section: this is the name of the token in auth.token_file; leave one of them out",
        ],
    );
    let text = token("default");
    let config = load(Some(ConfigFile { name: "c.toml", text: &text }), &[], &[]).unwrap();
    assert!(config.auth.is_required());
}

/// Verifies: ORCH-079
#[test]
fn tasks_are_kept_for_longer_than_their_events() {
    check(
        "[retention]\nevent_retention_ms = 10000\ntask_retention_ms = 10000",
        &[
            "c.toml:3: `retention.task_retention_ms` = 10000: must be longer than event_retention_ms (10000)",
        ],
    );
    check(
        "[retention]\nbytes_max = 10000000",
        &[
            "c.toml:2: `retention.bytes_max` = 10000000: is below four times store.segment_bytes (268435456)",
        ],
    );
}
