use serde_json::json;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Home, pool_of, scripted_task},
    starter::starter_file,
};

/// The fixed part of a model file: how many tensors and pairs of metadata follow.
fn header(tensors: u64, pairs: u64) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend_from_slice(&3_u32.to_le_bytes());
    bytes.extend_from_slice(&tensors.to_le_bytes());
    bytes.extend_from_slice(&pairs.to_le_bytes());
    bytes
}

/// Verifies: ORCH-026
#[test]
fn files_that_are_no_good_models_keep_their_pools_away_and_nothing_else() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::new("");
    let mut hostile = header(u64::MAX, 1);
    hostile.extend_from_slice(&u64::MAX.to_le_bytes()); // the length of the first key
    hostile.extend_from_slice(b"general.architecture");
    let mut nested = header(0, 1);
    nested.extend_from_slice(&3_u64.to_le_bytes());
    nested.extend_from_slice(b"key");
    for _ in 0..100_000 {
        nested.extend_from_slice(&9_u32.to_le_bytes()); // an array
        nested.extend_from_slice(&9_u32.to_le_bytes()); // of arrays
        nested.extend_from_slice(&u64::MAX.to_le_bytes());
    }
    let starter = std::fs::read(starter_file()).unwrap();
    let files: [(&str, &[u8]); 5] = [
        ("truncated", &starter[..3 << 20]),
        ("cut-in-the-header", &starter[..100_000]),
        ("hostile", &hostile),
        ("nested", &nested),
        ("text", b"this is no model"),
    ];
    let mut sections = pool_of(&engine);
    for (name, bytes) in files {
        let path = home.path().join(format!("{name}.gguf"));
        std::fs::write(&path, bytes).unwrap();
        sections.push_str(&format!(
            "\n[models.{name}]\nsource = \"file:{path}\"\n[pools.{name}]\nengine = \"candle\"\nmodels = [\"{name}\"]\n"
        ));
    }
    let path = home.path().join("text.gguf");
    let digest = "0".repeat(64);
    sections.push_str(&format!(
        "\n[models.pinned]\nsource = \"file:{path}\"\nsha256 = \"{digest}\"\n[pools.pinned]\nengine = \"candle\"\nmodels = [\"pinned\"]\n"
    ));
    sections.push_str(&format!(
        "\n[models.gone]\nsource = \"file:{}/gone.gguf\"\n[pools.gone]\nengine = \"candle\"\nmodels = [\"gone\"]\n",
        home.path()
    ));
    home.configure(&sections);
    let daemon = home.start().ready();
    for (name, _) in files.into_iter().chain([("pinned", &[][..]), ("gone", &[][..])]) {
        let pool = daemon.wait_for_pool(name, "backoff");
        let reason = pool["last_error"].as_str().unwrap();
        assert!(!reason.is_empty());
        let task = json!({"model_ref": name, "prompt": "x"});
        let error = daemon.post("/v2/tasks", &task).expect_error(503, "MODEL_NOT_AVAILABLE");
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
    let pinned = daemon.wait_for_pool("pinned", "backoff");
    assert!(pinned["last_error"].as_str().unwrap().contains(&digest), "{pinned}");
    let id = daemon.submit(&scripted_task("[[tokens=2]]"));
    daemon.wait_until(&id, "succeeded");
    assert_eq!(daemon.get("/readyz").status, 200);
    daemon.stop();
}
