use handoff_schema::{HandedEngine, HandoffFile, ProvisioningMode, WrongFile};
use proptest::prelude::*;
use serde_json::{Value, json};

fn least() -> Value {
    json!({
        "schema": 1, "pool_id": "gpu", "replica_id": "0", "engine": "llamacpp",
        "url": "http://127.0.0.1:8000", "model_ref": "m",
    })
}

fn most() -> Value {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let more = json!({
        "attempt": 3, "engine_version": "b6000", "engine_digest": digest, "model_digest": digest,
        "slots_total": 4, "ctx_max": 8192, "device_mask": ["GPU-1", "1"],
        "boot_id": "4f6f1f4e-9d3f-4a3c-8f58-0d7d3f7a1b2c", "pid": 7, "pid_start_time": 12345,
        "key_file": "/run/keys/gpu", "provisioning_mode": "binary", "flags": ["--ctx", "8192", ""],
        "written_at": "2026-11-21T22:00:00Z",
    });
    let mut file = least();
    file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    file
}

fn parse(file: &Value) -> Result<HandoffFile, WrongFile> {
    HandoffFile::parse(file.to_string().as_bytes())
}

/// What is told of a file that is `least()` with these keys.
#[track_caller]
fn problems(more: &Value) -> String {
    let mut file = least();
    file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    match parse(&file) {
        Err(WrongFile::Wrong { problems }) => problems,
        other => panic!("{file}: {other:?}"),
    }
}

/// Verifies: ORCH-151
#[test]
fn a_file_needs_six_keys_and_takes_fourteen_more() {
    let file = parse(&least()).unwrap();
    assert_eq!(file.file_name(), "gpu.0.json");
    assert_eq!((file.engine, file.pid, file.slots_total), (HandedEngine::LlamaCpp, None, None));
    let file = parse(&most()).unwrap();
    assert_eq!(file.provisioning_mode, Some(ProvisioningMode::Binary));
    // What is read is what is written: nothing is lost, and nothing that was left out is added.
    assert_eq!(serde_json::to_value(&file).unwrap(), most());
    assert_eq!(serde_json::to_value(parse(&least()).unwrap()).unwrap(), least());
    for key in ["schema", "pool_id", "replica_id", "engine", "url", "model_ref"] {
        let mut file = least();
        file.as_object_mut().unwrap().remove(key);
        let Err(WrongFile::Wrong { problems }) = parse(&file) else { panic!("{key} is missing") };
        assert!(problems.contains(key), "{problems}");
    }
}

/// Verifies: ORCH-151, ORCH-154
#[test]
fn another_schema_an_unknown_key_and_half_a_file_are_told_apart() {
    for schema in [json!(0), json!(2), json!("1"), json!(1.5), json!(null)] {
        let mut file = least();
        file["schema"] = schema.clone();
        // What another version means by its keys is not known.
        file["anything"] = json!(1);
        let told = parse(&file).unwrap_err();
        assert_eq!(told, WrongFile::UnknownSchema { schema: schema.to_string() });
    }
    assert!(problems(&json!({"gpus": 2})).contains("gpus"));
    let whole = least().to_string();
    for end in 0..whole.len() {
        let told = HandoffFile::parse(&whole.as_bytes()[..end]).unwrap_err();
        assert!(matches!(told, WrongFile::HalfWritten { .. }), "{end}: {told}");
    }
    let twice = whole.replacen('{', "{\"url\": \"http://127.0.0.1:1\",", 1);
    let told = HandoffFile::parse(twice.as_bytes()).unwrap_err();
    assert!(told.to_string().contains("duplicate field"), "{told}");
    let long = format!("{whole}{}", " ".repeat(HandoffFile::BYTES_MAX));
    let told = HandoffFile::parse(long.as_bytes()).unwrap_err();
    assert_eq!(told, WrongFile::TooLarge { max: 65_536 });
}

/// Verifies: ORCH-151
#[test]
fn every_wrong_value_is_named() {
    for (key, value) in [
        ("pool_id", json!("")),
        ("pool_id", json!("a/b")),
        ("replica_id", json!("x".repeat(65))),
        ("replica_id", json!("a b")),
        ("url", json!("ftp://127.0.0.1")),
        ("url", json!("http://user:secret@127.0.0.1")),
        ("url", json!("http://127.0.0.1/?a=b")),
        ("url", json!("127.0.0.1:8000")),
        ("model_ref", json!("")),
        ("model_ref", json!("a\nb")),
        ("engine_version", json!("")),
        ("engine_digest", json!("sha256:ff")),
        ("model_digest", json!("md5:00")),
        ("slots_total", json!(0)),
        ("ctx_max", json!(16_777_217)),
        ("device_mask", json!([""])),
        ("boot_id", json!("yesterday")),
        ("pid", json!(0)),
        ("pid_start_time", json!(5)),
        ("boot_id", json!("4f6f1f4e-9d3f-4a3c-8f58-0d7d3f7a1b2c")),
        ("key_file", json!("keys/gpu")),
        ("flags", json!(["a\nb"])),
    ] {
        let told = problems(&json!({ key: value }));
        assert!(told.contains(&format!("{key}: allowed is")), "{key} {value}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
    for (key, value) in [
        ("engine", json!("tgi")),
        ("provisioning_mode", json!("magic")),
        ("pid", json!(-1)),
        ("slots_total", json!("4")),
        ("written_at", json!("yesterday")),
    ] {
        problems(&json!({ key: value }));
    }
    let both = problems(&json!({"slots_total": 0, "ctx_max": 0}));
    assert!(both.contains("slots_total") && both.contains("ctx_max"), "{both}");
}

/// Verifies: ORCH-155
#[test]
fn only_an_address_written_as_loopback_is_one() {
    let loopback = |url: &str| {
        let mut file = least();
        file["url"] = json!(url);
        parse(&file).unwrap().loopback().map(|address| address.to_string())
    };
    for (url, address) in [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://127.9.9.9:8000/api", "127.9.9.9:8000"),
        ("https://[::1]:1/v1", "[::1]:1"),
        ("http://127.0.0.1", "127.0.0.1:80"),
    ] {
        assert_eq!(loopback(url).as_deref(), Some(address));
    }
    for url in [
        "http://localhost:8000",
        "http://10.0.0.1:8000",
        "http://0.0.0.0:8000",
        "http://[::]:8000",
        "http://[::ffff:127.0.0.1]:8000",
        "http://127.0.0.1.example.org",
        "http://128.0.0.1",
    ] {
        assert_eq!(loopback(url), None, "{url}");
    }
}

#[test]
fn a_file_that_was_only_written_again_is_the_same() {
    let file = parse(&most()).unwrap();
    let mut later = file.clone();
    later.written_at = Some("2026-11-21T23:00:00Z".parse().unwrap());
    assert!(file.is_same(&later) && file != later);
    later.pid = Some(8);
    assert!(!file.is_same(&later));
}

proptest! {
    /// Verifies: ORCH-154
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(HandoffFile::parse(&bytes).is_err());
    }

    /// Verifies: ORCH-154
    #[test]
    fn a_damaged_file_is_refused_or_still_has_all_that_it_needs(
        at in 0_usize..2_000, byte in any::<u8>(),
    ) {
        let mut text = most().to_string().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(file) = HandoffFile::parse(&text) {
            prop_assert_eq!(file.schema, 1);
            let again = serde_json::to_vec(&file).unwrap();
            prop_assert_eq!(HandoffFile::parse(&again).unwrap(), file);
        }
    }
}
