use serde_json::{Value, json};

/// The types of events in a task's stream with the schemas of their data, for the extension
/// `x-sse-events` of the operation: OpenAPI 3.1 has no word for them.
pub(crate) fn sse_events() -> Value {
    let event = |schema: &str, stored: bool, about: &str| {
        json!({
            "data": {"$ref": format!("#/components/schemas/{schema}")},
            "has_id": stored,
            "description": about,
        })
    };
    json!({
        "started": event("StartedEvent", true, "An attempt begins; the first stored event of most tasks."),
        "token": event("TokenEvent", true, "A piece of text, in order."),
        "metrics": event("MetricsEvent", false, "How the task waits or goes on; may be left out."),
        "end": event("EndEvent", true, "The last event of a task that no error ended."),
        "error": event("ErrorBody", true, "The last event of any other task; the name may be chosen with \
                                           `error_event`."),
    })
}
