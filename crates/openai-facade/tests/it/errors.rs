use api_types::{ErrorBody, ErrorCode};
use openai_facade::facade_error;
use serde_json::json;

fn check(code: ErrorCode, expected: (u16, &str, &str)) {
    let error = facade_error(&ErrorBody::new(code, "what to do", "c-1"), None);
    let found = (error.status, error.body.error.kind, error.body.error.code.as_str());
    assert_eq!(found, expected, "{code:?}");
    assert_eq!(error.should_retry, code.retriable(), "{code:?}");
}

/// Verifies: ORCH-243
#[test]
fn native_errors_have_the_status_and_type_of_the_official_client() {
    check(ErrorCode::MalformedJson, (400, "invalid_request_error", "MALFORMED_JSON"));
    check(ErrorCode::MissingToken, (401, "authentication_error", "MISSING_TOKEN"));
    check(ErrorCode::PolicyDenied, (403, "permission_error", "POLICY_DENIED"));
    check(ErrorCode::NotFound, (404, "not_found_error", "NOT_FOUND"));
    check(ErrorCode::ModelNotFound, (404, "not_found_error", "model_not_found"));
    check(ErrorCode::ModelDeprecated, (404, "not_found_error", "MODEL_DEPRECATED"));
    check(ErrorCode::Conflict, (409, "invalid_request_error", "CONFLICT"));
    check(ErrorCode::PayloadTooLarge, (413, "invalid_request_error", "PAYLOAD_TOO_LARGE"));
    check(ErrorCode::InvalidParams, (400, "invalid_request_error", "INVALID_PARAMS"));
    check(ErrorCode::ContextExceeded, (400, "invalid_request_error", "context_length_exceeded"));
    check(ErrorCode::AdmissionReject, (429, "rate_limit_error", "ADMISSION_REJECT"));
    check(ErrorCode::Internal, (500, "server_error", "INTERNAL"));
    check(ErrorCode::PoolUnavailable, (503, "server_error", "POOL_UNAVAILABLE"));
    check(ErrorCode::StorageFull, (507, "server_error", "STORAGE_FULL"));
}

/// Verifies: ORCH-243
#[test]
fn outcomes_of_tasks_have_a_status_too() {
    check(ErrorCode::QueueFullDropLru, (429, "rate_limit_error", "QUEUE_FULL_DROP_LRU"));
    check(ErrorCode::DeadlineExceeded, (504, "server_error", "DEADLINE_EXCEEDED"));
    check(ErrorCode::GuardBlocked, (400, "invalid_request_error", "content_filter"));
    check(ErrorCode::QueueTimeout, (503, "server_error", "QUEUE_TIMEOUT"));
    check(ErrorCode::EngineRefused, (503, "server_error", "ENGINE_REFUSED"));
    check(ErrorCode::ReplicaExhausted, (503, "server_error", "REPLICA_EXHAUSTED"));
    check(ErrorCode::WorkerReset, (503, "server_error", "WORKER_RESET"));
    check(ErrorCode::DecodeTimeout, (503, "server_error", "DECODE_TIMEOUT"));
    check(ErrorCode::ContinuationMismatch, (503, "server_error", "CONTINUATION_MISMATCH"));
}

/// Verifies: ORCH-243
#[test]
fn the_body_is_the_official_shape_with_the_clients_names() {
    let fields = [
        ("sampling.stop[2]", "stop[2]"),
        ("model_ref", "model"),
        ("messages[0].role", "messages[0].role"),
    ];
    for (native, param) in fields {
        let field = Some(native.to_owned());
        let body = ErrorBody { field, ..ErrorBody::new(ErrorCode::InvalidParams, "no", "c-1") };
        let expected = json!({"error": {
            "message": "no", "type": "invalid_request_error", "param": param,
            "code": "INVALID_PARAMS",
        }});
        let found = serde_json::to_value(facade_error(&body, None).body).unwrap();
        assert_eq!(found, expected);
    }
    let body = ErrorBody::new(ErrorCode::Internal, "no", "c-1");
    let found = serde_json::to_value(facade_error(&body, None).body).unwrap();
    assert_eq!(found["error"]["param"], json!(null));
}

/// Verifies: ORCH-243
#[test]
fn what_was_decided_per_case_is_kept() {
    let native = ErrorBody {
        retriable: true,
        ..ErrorBody::new(ErrorCode::ModelNotAvailable, "loading", "c-1")
    };
    let error = facade_error(&native, None);
    assert_eq!((error.status, error.should_retry), (503, true));
    assert_eq!(facade_error(&native, Some(422)).status, 400);
    assert_eq!(facade_error(&native, Some(410)).status, 404);
    assert_eq!(facade_error(&native, Some(409)).status, 409);
}
