use std::collections::BTreeMap;

use serde_json::Value;

use super::page::{Page, code, text};

/// `docs/reference/api.md`, from the OpenAPI document.
#[must_use]
pub fn api(openapi: &Value) -> String {
    let mut page = Page::new(
        "Operations of the HTTP API",
        "Every method and path that the daemon serves. Bodies, parameters and examples are in the OpenAPI \
         document: [checked in](../../contracts/generated/openapi-orchestratord.json), printed by \
         `orchestratord openapi`, and served at `/v2/openapi.json`. The scope is the least that a token \
         needs; without configured tokens none is asked for on loopback.",
    );
    let mut sections: BTreeMap<&str, Vec<Vec<String>>> = BTreeMap::new();
    for (path, methods) in openapi["paths"].as_object().into_iter().flatten() {
        let section = path.split('/').nth(1).filter(|part| ["v1", "v2"].contains(part));
        for (method, operation) in methods.as_object().into_iter().flatten() {
            if !operation["responses"].is_object() {
                continue;
            }
            sections.entry(section.unwrap_or_default()).or_default().push(vec![
                code(method.to_uppercase()),
                code(path),
                text(operation, "summary").to_owned(),
                scope(operation),
                statuses(operation),
            ]);
        }
    }
    for (section, rows) in sections {
        page.heading(match section {
            "v1" => "For OpenAI clients",
            "v2" => "The native API",
            _ => "For monitors",
        });
        page.table(&["method", "path", "what it does", "scope", "statuses"], &rows);
    }
    page.finish()
}

/// The scope of the operation's bearer token.
fn scope(operation: &Value) -> String {
    let ways = operation["security"].as_array().into_iter().flatten();
    let scope = ways.filter_map(|way| way["bearer"][0].as_str()).next();
    scope.map_or_else(|| "none".to_owned(), code)
}

fn statuses(operation: &Value) -> String {
    let mut statuses: Vec<&str> = operation["responses"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(status, _)| status.as_str())
        .collect();
    statuses.sort_unstable();
    statuses.join(", ")
}
