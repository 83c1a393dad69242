use config_schema::json_schema;

/// Verifies: ORCH-283
#[test]
fn the_schema_is_deterministic_closed_and_knows_defaults_and_bounds() {
    let schema = json_schema();
    assert_eq!(serde_json::to_vec(&schema).unwrap(), serde_json::to_vec(&json_schema()).unwrap());
    assert_eq!(schema["additionalProperties"], false);
    let port = &schema["$defs"]["Queue"]["properties"]["model_capacity"];
    assert_eq!((&port["default"], &port["maximum"]), (&256.into(), &1_000_000.into()));
    assert_eq!(port["description"], "Most tasks of one model that wait.");
    let attached = &schema["$defs"]["Pool"]["oneOf"][1];
    assert_eq!(attached["required"], serde_json::json!(["engine", "url"]));
    assert_eq!(attached["additionalProperties"], false);
}

/// Verifies: ORCH-283
#[test]
fn the_schema_takes_the_embedded_pool_without_an_engine_as_the_daemon_does() {
    let schema = json_schema();
    let embedded = &schema["properties"]["pools"]["properties"]["embedded"]["anyOf"];
    assert_eq!(embedded[0]["$ref"], "#/$defs/EmbeddedPool");
    assert_eq!(embedded[1]["$ref"], "#/$defs/Pool");
    let pool = &schema["$defs"]["EmbeddedPool"];
    assert_eq!(pool["required"], serde_json::Value::Null);
    assert_eq!(pool["additionalProperties"], false);
    assert_eq!(pool["properties"]["engine"]["const"], "candle");
    assert_eq!(schema["$defs"]["Pool"]["oneOf"][0]["required"], serde_json::json!(["engine"]));
}
