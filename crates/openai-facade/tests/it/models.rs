use openai_facade::{ModelListObject, ModelObject};
use serde_json::json;

/// Verifies: ORCH-241
#[test]
fn models_have_the_official_shape() {
    let list: ModelListObject =
        [ModelObject::new("smol", 1_700_000_000), ModelObject::new("big", 5)].into_iter().collect();
    let expected = json!({"object": "list", "data": [
        {"id": "smol", "object": "model", "created": 1_700_000_000, "owned_by": "local"},
        {"id": "big", "object": "model", "created": 5, "owned_by": "local"},
    ]});
    assert_eq!(serde_json::to_value(list).unwrap(), expected);
}
