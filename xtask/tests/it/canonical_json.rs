use serde_json::json;
use xtask::canonical_json;

#[test]
fn keys_are_sorted_at_every_depth_and_lists_keep_their_order() {
    let text = canonical_json(&json!({"b": [{"d": 1, "c": 2}, 0], "a": null}));
    let expected = r#"{
  "a": null,
  "b": [
    {
      "c": 2,
      "d": 1
    },
    0
  ]
}
"#;
    assert_eq!(text, expected);
}
