use serde_json::{Map, Value, json};

/// An instant of RFC 3339 in UTC.
const INSTANT: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$";

/// A UUID of version 7 (RFC 9562).
const UUID_V7: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";

/// A digest with the name of its function.
const DIGEST: &str = "^sha256:[0-9a-f]{64}$";

/// Fields that hold ids which the daemon makes. Ids of pools, nodes and replicas are names of the operator's.
const MADE_IDS: [&str; 3] = ["task_id", "operation_id", "attempt_id"];

/// Fields that hold digests.
const DIGESTS: [&str; 3] = ["model_digest", "request_digest", "sha256"];

/// What the requirements call an instant without its suffix.
const OTHER_INSTANTS: [&str; 1] = ["build_time"];

/// Says in the schemas what the names of fields promise (ORCH-009), so that whoever holds an answer against the
/// document checks that too.
pub(super) fn mark(schemas: &mut Value) {
    each_field(schemas, &mut |name, field| {
        let Some((format, pattern)) = form_of(name) else { return };
        if let Some(format) = format {
            field.insert("format".to_owned(), json!(format));
        }
        field.insert("pattern".to_owned(), json!(pattern));
    });
}

/// Format and pattern of the text in a field of this name.
fn form_of(name: &str) -> Option<(Option<&'static str>, &'static str)> {
    if name.ends_with("_at") || OTHER_INSTANTS.contains(&name) {
        Some((Some("date-time"), INSTANT))
    } else if MADE_IDS.contains(&name) {
        Some((Some("uuid"), UUID_V7))
    } else if DIGESTS.contains(&name) {
        Some((None, DIGEST))
    } else {
        None
    }
}

/// Calls `with` for each field of each object, by its name.
fn each_field(schema: &mut Value, with: &mut impl FnMut(&str, &mut Map<String, Value>)) {
    match schema {
        Value::Object(schema) => {
            if let Some(Value::Object(fields)) = schema.get_mut("properties") {
                for (name, field) in fields {
                    if let Value::Object(field) = field {
                        with(name, field);
                    }
                }
            }
            schema.values_mut().for_each(|inner| each_field(inner, with));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| each_field(inner, with)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::{DIGEST, each_field, form_of};

    /// The types of a field, but for null.
    fn types(field: &serde_json::Map<String, Value>) -> BTreeSet<String> {
        let given = field.get("type").cloned().unwrap_or_default();
        let many = given.as_array().cloned().unwrap_or_else(|| vec![given]);
        let names = many.iter().filter_map(Value::as_str).filter(|name| *name != "null");
        names.map(str::to_owned).collect()
    }

    /// Verifies: ORCH-009
    #[test]
    fn names_of_fields_tell_units_and_forms_in_the_whole_document() {
        let mut document = crate::openapi::document(crate::routes::described().into_openapi());
        let only = |name: &str| BTreeSet::from([name.to_owned()]);
        let (mut durations, mut sizes, mut instants, mut others) = (0, 0, 0, 0);
        each_field(&mut document["components"]["schemas"], &mut |name, field| {
            let kinds = types(field);
            let is_list = kinds == only("array");
            if name.ends_with("_ms") {
                assert_eq!(kinds, only("integer"), "{name}: {field:?}");
                durations += 1;
            } else if name.contains("bytes") && !is_list {
                assert_eq!(kinds, only("integer"), "{name}: {field:?}");
                sizes += 1;
            } else if let Some((format, pattern)) = form_of(name) {
                assert_eq!(kinds, only("string"), "{name}: {field:?}");
                assert_eq!(field.get("format"), format.map(|format| json!(format)).as_ref());
                assert_eq!(field["pattern"], pattern, "{name}");
                if name.ends_with("_at") {
                    instants += 1;
                }
            } else {
                others += 1;
            }
            // A digest that a client expects is held against the model's, whatever it looks like.
            let is_digest = name.contains("digest") && name != "expected_digest";
            assert_eq!(field.get("pattern") == Some(&json!(DIGEST)), is_digest || name == "sha256");
            for unit in ["_s", "_sec", "_secs", "_seconds", "_millis", "_us", "_kb", "_mb", "_ts"] {
                assert!(!name.ends_with(unit), "{name} has another unit");
            }
        });
        assert!(durations > 20 && sizes > 8 && instants > 10 && others > 100);
    }
}
