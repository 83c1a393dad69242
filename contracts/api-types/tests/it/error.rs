use api_types::{ErrorBody, ErrorCode};

/// Rows of the table of error codes in the requirements: status where there is one, code, and `r`, `n` or
/// `d` for retriable, not, and decided per case.
fn required() -> Vec<(Option<u16>, String, char)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.specs/orchestrator.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("### 1.1 Error codes").nth(1).unwrap();
    let table = section.split("\n\n").next().unwrap();
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let statuses: Vec<Option<u16>> =
            cells[0].split(", ").map(|status| status.parse().ok()).collect();
        // Notes in brackets hold commas.
        let codes: String =
            cells[1].split('(').map(|part| part.split(')').next_back().unwrap()).collect();
        let codes: Vec<&str> = codes.split(',').map(str::trim).collect();
        for (index, code) in codes.iter().enumerate() {
            let (name, retriable) = code.split_once(' ').unwrap();
            let status = if statuses.len() == codes.len() { statuses[index] } else { statuses[0] };
            rows.push((status, name.to_owned(), retriable.trim().chars().next().unwrap()));
        }
    }
    rows
}

/// Verifies: ORCH-004
#[test]
fn each_code_has_the_status_and_the_retriability_of_the_requirements() {
    let rows = required();
    assert!(rows.len() >= 44, "the table was read: {rows:?}");
    for (status, name, retriable) in rows {
        let code: ErrorCode = serde_json::from_value(name.clone().into()).expect(&name);
        assert_eq!(code.status(), status, "{name}");
        assert_eq!(code.name(), name);
        match retriable {
            'r' => assert!(code.retriable(), "{name}"),
            _ => assert!(!code.retriable(), "{name}"),
        }
    }
}

/// Verifies: ORCH-002
#[test]
fn an_error_shows_what_applies_and_nothing_else() {
    let body = ErrorBody::new(ErrorCode::StorageFull, "full", "c-1");
    let json = serde_json::to_value(&body).unwrap();
    let expected = serde_json::json!({
        "code": "STORAGE_FULL",
        "message": "full",
        "retriable": true,
        "correlation_id": "c-1",
    });
    assert_eq!(json, expected);
}
