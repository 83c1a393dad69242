use serde_json::{Value, json};
use xtask::reference;

fn rows(page: &str) -> Vec<&str> {
    page.lines().filter(|line| line.starts_with("| `")).collect()
}

#[test]
fn text_of_several_lines_and_with_bars_stays_in_its_cell() {
    let page = reference::metrics(&json!([
        {"name": "a_total", "type": "counter", "labels": ["x", "y"], "help": "One\n  or | two.", "buckets": null},
    ]));
    assert_eq!(rows(&page), [r"| `a_total` | counter | `x`, `y` | One or \| two. |"]);
}

#[test]
fn keys_show_their_type_default_and_range_in_their_section() {
    let schema = json!({
        "properties": {
            "queue": {"$ref": "#/$defs/Queue"},
            "pools": {"additionalProperties": {"$ref": "#/$defs/Pool"}, "description": "Pools."},
            "data_dir": {"default": null, "description": "Folder.", "type": ["string", "null"]},
        },
        "$defs": {
            "Queue": {"description": "How much.", "properties": {
                "most": {"default": 7, "minimum": 1, "maximum": 9, "type": "integer", "description": "Most."},
                "sync": {"default": "disk", "$ref": "#/$defs/Sync", "description": "When."},
                "names": {"default": [], "items": {"type": "string"}, "type": "array", "description": "Who."},
            }},
            "Sync": {"oneOf": [{"const": "disk", "description": "Before.", "type": "string"}]},
            "Pool": {"oneOf": [{"description": "Inside.", "required": ["engine", "url"], "properties": {
                "engine": {"const": "candle", "type": "string"},
                "url": {"type": "string", "description": "Where."},
            }}]},
        },
    });
    let page = reference::configuration(&schema);
    let mut rows = rows(&page);
    rows.sort_unstable();
    assert_eq!(
        rows,
        [
            "| `data_dir` | string | none |  | Folder. |",
            "| `engine` | `\"candle\"` | must be given |  |  |",
            "| `most` | integer | `7` | 1 to 9 | Most. |",
            "| `names` | list of string | `[]` |  | Who. |",
            "| `sync` | choice | `\"disk\"` |  | When. `\"disk\"`: Before. |",
            "| `url` | string | must be given |  | Where. |",
        ]
    );
    assert!(page.contains("## `[queue]`\n\nHow much.\n"), "{page}");
    assert!(
        page.contains("## `[pools.ID]`\n\nPools.\n\nWith `engine = \"candle\"`: Inside.\n"),
        "{page}"
    );
}

#[test]
fn codes_that_no_operation_lists_are_named() {
    let page = reference::errors(&json!({
        "components": {"schemas": {"ErrorCode": {"enum": ["STORAGE_FULL", "NOT_FOUND", "NODE_UNKNOWN", "QUEUE_TIMEOUT"]}}},
        "paths": {"/a": {"get": {"x": ["NOT_FOUND", "STORAGE_FULL"]}}},
    }));
    let (answers, outcomes) = page.split_once("## Codes of tasks that ended").unwrap();
    let status = |row: &&str| row.starts_with("| 4") || row.starts_with("| 5");
    let statuses: Vec<&str> = answers.lines().filter(status).map(|row| &row[2..5]).collect();
    assert_eq!(statuses, ["404", "404", "507"]);
    assert!(answers.contains("No operation of this version lists `NODE_UNKNOWN`:"), "{answers}");
    assert_eq!(rows(outcomes).len(), 1, "{outcomes}");
}

#[test]
fn operations_show_the_scope_that_they_need() {
    let operation = |security: Value| json!({"summary": "Do.", "security": security, "responses": {"404": {}, "200": {}}});
    let page = reference::api(&json!({"paths": {
        "/healthz": {"get": operation(json!([]))},
        "/v2/status": {"get": operation(json!([{"bearer": ["admin"]}, {}]))},
    }}));
    assert_eq!(
        rows(&page),
        [
            "| `GET` | `/healthz` | Do. | none | 200, 404 |",
            "| `GET` | `/v2/status` | Do. | `admin` | 200, 404 |",
        ]
    );
}
