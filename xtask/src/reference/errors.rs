use std::collections::BTreeSet;

use api_types::ErrorCode;
use serde_json::Value;

use super::page::{Page, code};

/// `docs/reference/errors.md`: the codes that the OpenAPI document lists, in the words of
/// [`ErrorCode::guide`].
#[must_use]
pub fn errors(openapi: &Value) -> String {
    let mut page = Page::new(
        "Error codes",
        "Every error of the daemon has one of these codes, in the field `code` of an answer, of an `error` \
         event, or of a task's `error`. `retriable` says whether the same request may succeed later; for \
         codes marked \"per case\" read it from the error.",
    );
    let mut mentioned = BTreeSet::new();
    collect(&openapi["paths"], &mut mentioned);
    let mut unused = Vec::new();
    let (mut answers, mut outcomes) = (Vec::new(), Vec::new());
    for error in all(openapi) {
        let guide = error.guide();
        let words = [guide.meaning.to_owned(), guide.remedy.to_owned()];
        let start = vec![code(error.name()), retriable(error).to_owned()];
        let Some(status) = error.status() else {
            outcomes.push([start, words.to_vec()].concat());
            continue;
        };
        answers.push((status, [vec![status.to_string()], start, words.to_vec()].concat()));
        // That answer belongs to the methods that no operation has.
        if error != ErrorCode::MethodNotAllowed && !mentioned.contains(error.name()) {
            unused.push(code(error.name()));
        }
    }
    answers.sort_by_key(|(status, _)| *status);
    let answers: Vec<Vec<String>> = answers.into_iter().map(|(_, row)| row).collect();
    page.heading("Codes of answers");
    page.table(&["status", "code", "retriable", "meaning", "what to do"], &answers);
    if !unused.is_empty() {
        page.paragraph(&format!(
            "No operation of this version lists {}: kept for what is to come.",
            unused.join(", ")
        ));
    }
    page.heading("Codes of tasks that ended");
    page.paragraph("These stand in tasks and their `error` events only. The `/v1` facade turns them into a status.");
    page.table(&["code", "retriable", "meaning", "what to do"], &outcomes);
    page.finish()
}

/// Every code, in the order of its declaration.
fn all(openapi: &Value) -> impl Iterator<Item = ErrorCode> {
    let names = openapi["components"]["schemas"]["ErrorCode"]["enum"].as_array();
    names.into_iter().flatten().map(|name| {
        serde_json::from_value(name.clone()).expect("the document is made from the same type")
    })
}

fn retriable(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::ModelNotAvailable | ErrorCode::DeadlineUnmet => "per case",
        error if error.retriable() => "yes",
        _ => "no",
    }
}

/// Every string in a document.
fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::String(text) => {
            found.insert(text);
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
