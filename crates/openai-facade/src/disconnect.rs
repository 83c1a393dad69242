/// How long a task waits for its client to come back once its last connection closed, in milliseconds,
/// before it is canceled (ORCH-245). Only a request with an `Idempotency-Key` can be repeated and so
/// join the running task.
#[must_use]
pub fn reattach_ms(has_idempotency_key: bool) -> u64 {
    if has_idempotency_key { 30_000 } else { 0 }
}
