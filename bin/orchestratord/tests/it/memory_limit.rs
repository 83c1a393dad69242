//! The memory that a pool grants its model.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    daemon::Home,
    starter::{self, starter_file},
};

/// Verifies: ORCH-026, ORCH-284
#[test]
fn a_model_above_its_pools_memory_is_not_loaded_and_both_numbers_are_told() {
    let (_home, _turn) = starter::home();
    let of = |memory_bytes: u64| {
        format!(
            "[models.starter]\nsource = \"file:{}\"\n[pools.embedded]\nctx = 512\n\
             memory_bytes = {memory_bytes}\n",
            starter_file()
        )
    };
    let home = Home::new(&of(100_000_000));
    let daemon = home.start();
    let pool = daemon.wait_for_pool("embedded", "failed");
    assert!(pool["last_error"].as_str().unwrap().contains("memory_bytes"), "{pool}");
    let task = json!({"model_ref": "starter", "prompt": "The", "max_tokens": 1});
    let refused = daemon.post("/v2/tasks", &task).expect_error(503, "MODEL_NOT_AVAILABLE");
    assert_eq!(refused["retriable"], false);
    assert_eq!(refused["details"]["available_bytes"], 100_000_000);
    let needed_bytes = refused["details"]["needed_bytes"].as_u64().unwrap();
    // 135 million weights in eight bits with their scales, and 512 tokens.
    assert!((140_000_000..220_000_000).contains(&needed_bytes), "{needed_bytes}");

    home.configure(&of(needed_bytes));
    daemon.signal(Signal::SIGHUP);
    let daemon = daemon.with_starter();
    let id = daemon.submit(&task);
    daemon.wait_until(&id, "succeeded");
    daemon.stop();
}
