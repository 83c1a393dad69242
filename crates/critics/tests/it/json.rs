use critic_executor::RunInput;
use critics::{JsonCritic, json_output};
use serde_json::json;

use crate::finding::{codes, of};

fn critic() -> JsonCritic {
    json_output(json!({
        "type": "object",
        "properties": { "city": { "type": "string" }, "sizes": { "items": { "type": "integer" } } },
        "required": ["city"],
        "additionalProperties": false,
    }))
    .unwrap()
}

async fn check(critic: JsonCritic, text: &str, expected: &[&str]) {
    let finding = of(&critic, RunInput::new("?").output(text)).await.unwrap();
    assert_eq!(codes(&finding), expected, "of {text:?}");
    assert_eq!(finding.severity, if expected.is_empty() { 0.0 } else { 1.0 });
}

/// Verifies: CRIT-243
#[tokio::test]
async fn text_has_to_be_json_of_the_schema_and_nothing_else() {
    check(critic(), r#" {"city": "Ulm", "sizes": [1]} "#, &[]).await;
    check(critic(), r#"{"city": "Ulm"} and more"#, &["json.syntax"]).await;
    check(critic(), "Here: {\"city\": \"Ulm\"}", &["json.syntax"]).await;
    check(critic(), r#"{"city": "Ulm""#, &["json.syntax"]).await;
    check(critic(), "", &["json.syntax"]).await;
    check(critic(), r#"{"city": 1, "town": 2}"#, &["json.schema", "json.schema"]).await;
    check(critic(), "```json\n{\"city\": \"Ulm\"}\n```", &["json.syntax"]).await;
}

/// Verifies: CRIT-243
#[tokio::test]
async fn errors_carry_pointers_and_not_the_text() {
    let output = r#"{"city": "Ulm", "sizes": [1, "secret word"]}"#;
    let finding = of(&critic(), RunInput::new("?").output(output)).await.unwrap();
    let message = &finding.violations[0].message;
    assert!(message.contains("/sizes/1"), "{message}");
    assert!(!message.contains("secret word"), "{message}");
}

/// Verifies: CRIT-243
#[tokio::test]
async fn a_single_code_fence_is_taken_when_asked() {
    let fence = "Sure:\n```json\n{\"city\": \"Ulm\"}\n```\nBye.";
    check(critic().take_fence(), fence, &[]).await;
    check(critic().take_fence(), r#"{"city": "Ulm"}"#, &[]).await;
    check(critic().take_fence(), "~~~~\n{\"city\": \"```\"}\n~~~\n~~~~", &["json.syntax"]).await;
    check(critic().take_fence(), "~~~~\n{\"city\": \"```\"}\n~~~~", &[]).await;
    check(critic().take_fence(), "```\n{\"city\": \"Ulm\"}", &[]).await;
    check(critic().take_fence(), &format!("{fence}\n{fence}"), &["json.fences"]).await;
    check(critic().take_fence(), "```json {\"city\": \"Ulm\"} ```", &["json.syntax"]).await;
}

/// Verifies: CRIT-192, CRIT-243
#[test]
fn a_schema_that_is_wrong_or_lies_elsewhere_is_refused() {
    assert!(json_output(json!({"type": "banana"})).is_err());
    assert!(json_output(json!({"$ref": "https://example.org/schema.json"})).is_err());
    assert!(json_output(json!({"$ref": "file:///etc/passwd"})).is_err());
    assert!(json_output(json!({"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"})).is_ok());
}
