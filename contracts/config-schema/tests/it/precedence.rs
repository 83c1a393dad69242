use config_schema::{Config, ConfigFile, Problem, load};

fn with(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, Vec<Problem>> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: Vec<(String, String)> = environment.iter().map(own).collect();
    let flags: Vec<(&str, String)> =
        flags.iter().map(|(path, value)| (*path, (*value).to_owned())).collect();
    load(Some(ConfigFile { name: "c.toml", text }), &environment, &flags)
}

/// Verifies: ORCH-281
#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let text = "[server]\naddr = '127.0.0.1:1'\nconnections_max = 2\nheaders_max = 20\n";
    let environment = [("ORCHD_SERVER__ADDR", "127.0.0.1:3"), ("ORCHD_SERVER__HEADERS_MAX", "30")];
    let flags = [("server.addr", "127.0.0.1:4")];
    let server = with(text, &environment, &flags).unwrap().server;
    assert_eq!(server.addr.port(), 4);
    assert_eq!(server.headers_max, 30);
    assert_eq!(server.connections_max, 2);
    assert_eq!(server.http2_streams_max, 100);
}

/// Verifies: ORCH-281
#[test]
fn the_short_forms_stand_for_their_keys() {
    let environment = [
        ("ORCHD_ADDR", "[::1]:9"),
        ("ORCHD_TOKEN_FILE", "/run/token"),
        ("ORCHD_PROFILE", "home"),
        ("ORCHD_DATA_DIR", "/var/lib/o"),
    ];
    let config = with("", &environment, &[]).unwrap();
    assert_eq!(config.server.addr.to_string(), "[::1]:9");
    assert_eq!(config.auth.token_file.unwrap(), "/run/token");
    assert_eq!(config.data_dir.unwrap(), "/var/lib/o");
}

#[test]
fn a_variable_finds_the_id_that_it_cannot_spell() {
    let text = "[models.'Qwen2.5-7b']\nsource = 'file:/a'\n";
    let config = with(text, &[("ORCHD_MODELS__QWEN2_5_7B__SOURCE", "file:/b")], &[]).unwrap();
    assert_eq!(config.models["Qwen2.5-7b"].source, "file:/b");
    assert_eq!(config.models.len(), 1);
}

#[test]
fn a_variable_that_means_either_of_two_ids_is_a_problem() {
    let text = "[models.a-b]\nsource = 'file:/a'\n[models.a_b]\nsource = 'file:/b'\n";
    let problems = with(text, &[("ORCHD_MODELS__A_B__SOURCE", "file:/c")], &[]).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "environment variable ORCHD_MODELS__A_B__SOURCE: means any of a-b, a_b; set it in the file"
        ]
    );
}

#[test]
fn variables_make_pools_and_models_without_a_file() {
    let environment = [
        ("ORCHD_MODELS__TINY__SOURCE", "file:/m/tiny.gguf"),
        ("ORCHD_MODELS__TINY__ALIASES", "small, smaller"),
        ("ORCHD_POOLS__FAR__ENGINE", "openai"),
        ("ORCHD_POOLS__FAR__URL", "http://127.0.0.1:9000"),
        ("ORCHD_POOLS__FAR__STRICT", "true"),
        ("ORCHD_CATALOG__MODEL_ROOTS", ""),
    ];
    let config = with("", &environment, &[]).unwrap();
    assert_eq!(config.models["tiny"].aliases, ["small", "smaller"]);
    assert_eq!(config.pools.keys().collect::<Vec<_>>(), ["far"]);
    assert_eq!(config.catalog.default_model.as_deref(), Some("tiny"));
    assert!(config.catalog.model_roots.is_empty());
}

#[test]
fn variables_of_others_are_left_alone() {
    let environment = [
        ("PATH", "/bin"),
        ("ORCHD_CONFIG", "/etc/c.toml"),
        ("ORCHD_URL", "http://127.0.0.1:8080"),
        ("orchd_addr", "nonsense"),
    ];
    assert_eq!(with("", &environment, &[]), Ok(Config::default()));
}
