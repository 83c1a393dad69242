use config_schema::{Config, ConfigFile, EngineKind, Pool, load};

fn config(text: &str) -> Config {
    load(Some(ConfigFile { name: "c.toml", text }), &[], &[]).unwrap()
}

#[test]
fn another_source_for_the_starter_keeps_its_digest() {
    let changed = config("[models.starter]\nsource = 'file:/m/starter.gguf'\n");
    let model = &changed.models["starter"];
    assert_eq!(model.source, "file:/m/starter.gguf");
    assert_eq!(model.sha256, Config::default().models["starter"].sha256);
    assert_eq!(changed.catalog.default_model.as_deref(), Some("starter"));
    assert_eq!(changed.pools, Config::default().pools);
}

#[test]
fn a_model_comes_from_any_source_that_the_catalog_knows() {
    for source in [
        "file:/m/mine.gguf",
        "https://models.example/mine.gguf",
        "hf:owner/repository/mine.gguf@main",
        "pypi:name@1.0#mine.gguf",
    ] {
        let config = config(&format!("[models.mine]\nsource = '{source}'\n"));
        assert_eq!(config.models["mine"].source, source);
    }
}

#[test]
fn naming_a_model_takes_the_starters_place() {
    let config = config("[models.mine]\nsource = 'file:/m/mine.gguf'\n");
    assert_eq!(config.models.keys().collect::<Vec<_>>(), ["mine"]);
    assert_eq!(config.catalog.default_model.as_deref(), Some("mine"));
    assert_eq!(config.pools["embedded"].engine(), EngineKind::Candle);
}

#[test]
fn of_two_models_neither_is_the_default() {
    let text = "[models.a]\nsource = 'file:/a'\n[models.b]\nsource = 'file:/b'\n";
    assert_eq!(config(text).catalog.default_model, None);
}

#[test]
fn without_a_pool_to_run_it_the_starter_is_not_there() {
    let config = config("[pools.far]\nengine = 'openai'\nurl = 'http://127.0.0.1:9000'\n");
    assert!(config.models.is_empty());
    assert_eq!(config.catalog.default_model, None);
}

/// Verifies: ORCH-194
#[test]
fn an_attached_engine_is_configured_by_kind_and_address() {
    let text = "[pools.x]\nengine = 'openai'\nurl = 'http://10.0.0.7:8000'\nslots = 64\n";
    let Pool::OpenAi(pool) = &config(text).pools["x"] else { panic!("it is attached") };
    assert_eq!((pool.url.as_str(), pool.slots), ("http://10.0.0.7:8000", 64));
    assert_eq!(pool.models, None);
}

#[test]
fn header_fields_go_to_collectors_on_this_machine_or_behind_https() {
    for endpoint in
        ["https://c.example/otlp", "http://127.0.0.1:4318", "http://[::1]:4318", "http://localhost"]
    {
        let text = format!("[telemetry]\notlp_endpoint = '{endpoint}'\notlp_headers_file = '/h'\n");
        assert!(config(&text).telemetry.otlp_headers_file.is_some(), "{endpoint}");
    }
}

/// Verifies: ORCH-284
#[test]
fn versions_are_names_without_blanks() {
    let pool = |key: &str, value: &str| {
        let text = format!("[pools.embedded]\n{key} = '{value}'\n");
        load(Some(ConfigFile { name: "c.toml", text: &text }), &[], &[])
    };
    for key in ["engine_version", "sampler_profile_version"] {
        let Pool::Candle(read) = &pool(key, "v1.2-b4567").unwrap().pools["embedded"] else {
            panic!("it is in the daemon")
        };
        let given = [&read.engine_version, &read.sampler_profile_version];
        assert!(given.contains(&&Some("v1.2-b4567".to_owned())), "{given:?}");
        for wrong in ["", "a b", "ä", &"x".repeat(129)] {
            let problems = pool(key, wrong).unwrap_err();
            assert!(problems[0].message.contains("visible ASCII"), "{wrong:?}: {problems:?}");
        }
    }
}

#[test]
fn the_embedded_pool_need_not_say_what_it_is() {
    let Pool::Candle(pool) = &config("[pools.embedded]\nthreads = 2\n").pools["embedded"] else {
        panic!("it is in the daemon")
    };
    assert_eq!(pool.threads, Some(2));
}
