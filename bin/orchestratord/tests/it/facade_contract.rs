use std::collections::BTreeSet;

use openai_facade::{CHAT_PARAMETERS, COMPLETION_PARAMETERS, EMBEDDING_PARAMETERS};
use serde_json::Value;

/// The properties of a schema of the document that is checked in.
fn documented(schema: &str) -> BTreeSet<String> {
    let text = include_str!("../../../../contracts/generated/openapi-orchestratord.json");
    let document: Value = serde_json::from_str(text).unwrap();
    let properties = document["components"]["schemas"][schema]["properties"].as_object();
    properties.unwrap_or_else(|| panic!("{schema} has no properties")).keys().cloned().collect()
}

fn check(schema: &str, parameters: &[&str]) {
    let parameters = parameters.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(documented(schema), parameters, "of {schema}");
}

/// Verifies: ORCH-013, ORCH-244
#[test]
fn the_document_lists_the_parameters_that_the_parser_takes() {
    check("ChatCompletionRequest", &CHAT_PARAMETERS);
    check("CompletionRequest", &COMPLETION_PARAMETERS);
    check("EmbeddingsRequest", &EMBEDDING_PARAMETERS);
    check("ChatMessage", &["role", "content", "tool_calls", "tool_call_id"]);
}
