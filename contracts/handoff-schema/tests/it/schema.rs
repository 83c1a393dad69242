use handoff_schema::json_schema;
use serde_json::json;

/// Verifies: ORCH-151
#[test]
fn the_schema_is_deterministic_and_closed_and_asks_for_the_same_keys() {
    let schema = json_schema();
    assert_eq!(serde_json::to_vec(&schema).unwrap(), serde_json::to_vec(&json_schema()).unwrap());
    assert_eq!(schema["additionalProperties"], false);
    let required = json!(["schema", "pool_id", "replica_id", "engine", "url", "model_ref"]);
    assert_eq!(schema["required"], required);
    assert_eq!(schema["properties"].as_object().unwrap().len(), 20);
    assert_eq!(schema["properties"]["schema"]["const"], 1);
    assert_eq!(schema["properties"]["slots_total"]["maximum"], 65_536);
}
