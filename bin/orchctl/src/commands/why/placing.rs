//! What placement decided about a task, in sentences.

use api_types::{AttemptView, CandidateView, DecisionView};

use super::count;

/// Candidates that are named.
const NAMED_MAX: usize = 8;

/// What keeps a task waiting, as far as that is for want of a place.
pub(super) fn waiting(decision: &DecisionView) -> Vec<String> {
    let (pool, node) = (name(decision.pool_id.as_ref()), name(decision.node_id.as_ref()));
    let head = match decision.outcome.as_str() {
        "assign" => format!(
            "Replica {} of pool {pool} has a slot that it could use; its turn has not come.",
            name(decision.replica_id.as_ref())
        ),
        "prepare" => format!("Its model is to be loaded by pool {pool} of node {node}."),
        _ => {
            let why = match decision.reason.as_deref() {
                Some("BUSY") => "every replica that would do is busy",
                Some("NOT_READY") => "no replica that would do is up",
                Some("UNFIT") => "no replica that is known would do",
                Some("NO_CANDIDATE") => "there is no pool",
                Some(other) => other,
                None => "the daemon does not say why",
            };
            format!("It has no place now: {why}.")
        }
    };
    let mut lines = vec![head];
    lines.extend(passed_over(decision));
    lines
}

/// Why an attempt went where it did; nothing for one of a daemon that did not keep it.
pub(super) fn attempt(attempt: &AttemptView, number: usize) -> Vec<String> {
    let Some(decision) = &attempt.decision else { return Vec::new() };
    let able = decision.candidates.iter().filter(|one| one.reasons.is_empty()).count() as u64;
    let chosen = match able {
        0 | 1 => "it was the only one that could take the task".to_owned(),
        _ => {
            let by = match decision.strategy.as_str() {
                "session-sticky" => "where it ran last, else as placement.base says",
                "least-loaded" => "the smallest share of busy slots",
                "vram-aware" => "the most free device memory",
                "round-robin" => "the next in turn",
                _ => "as the daemon's strategy says",
            };
            format!("{able} could take the task, and {} chose: {by}", decision.strategy)
        }
    };
    let wish = match (decision.pinned, decision.fallback) {
        (true, _) => "; the request allows no other place",
        (false, true) => "; no pool that the request prefers could",
        (false, false) => "",
    };
    let mut lines = vec![format!("Attempt {number} went there as {chosen}{wish}.")];
    lines.extend(passed_over(decision));
    lines
}

/// What failed a filter, and which. Places without the model are counted only, where others are named.
fn passed_over(decision: &DecisionView) -> Vec<String> {
    let rejected = decision.candidates.iter().filter(|one| !one.reasons.is_empty());
    let lacks = |one: &&CandidateView| one.reasons.iter().any(|reason| reason == "MODEL_ABSENT");
    let (absent, named): (Vec<_>, Vec<_>) = rejected.partition(lacks);
    let mut lines: Vec<String> = named.iter().take(NAMED_MAX).map(|one| rejection(one)).collect();
    let unnamed = named.len().saturating_sub(NAMED_MAX) as u64 + decision.candidates_omitted;
    if unnamed > 0 {
        lines.push(format!("Further places that were passed over: {unnamed}."));
    }
    if !absent.is_empty() {
        let absent = absent.len() as u64;
        lines.push(format!("Without its model: {}.", count(absent, "further place")));
    }
    lines
}

fn rejection(candidate: &CandidateView) -> String {
    let reasons = candidate.reasons.iter().map(|code| match meaning(code) {
        Some(meaning) => format!("{meaning} ({code})"),
        None => code.clone(),
    });
    let reasons: Vec<String> = reasons.collect();
    let replica = candidate.replica_id.as_ref().map(|id| format!("replica {id} of "));
    format!(
        "Passed over: {}pool {}: {}.",
        replica.unwrap_or_default(),
        candidate.pool_id,
        reasons.join(", ")
    )
}

/// What a reason code says.
fn meaning(code: &str) -> Option<&'static str> {
    Some(match code {
        "NODE_NOT_ONLINE" => "its node is not online",
        "SNAPSHOT_STALE" => "its node was not heard of for too long",
        "POOL_NOT_READY" => "it is not ready",
        "DRAINING" => "it is being taken away",
        "SWAP_PENDING" => "it is about to change its model",
        "CIRCUIT_OPEN" => "it keeps failing and is left alone",
        "ENGINE_MISMATCH" => "another engine is asked for",
        "WORKLOAD_UNSUPPORTED" => "it does not do this kind of work",
        "FEATURE_MISSING" => "it lacks something that the task needs",
        "VERSION_MISMATCH" => "another version is asked for",
        "LOAD_NOT_ALLOWED" => "it may not load the model",
        "UNVERIFIED" => "its model was not verified",
        "CTX_TOO_SMALL" => "its context is too small",
        "NO_FREE_SLOT" => "no slot is free",
        "VRAM_INSUFFICIENT" => "it has too little device memory",
        "VRAM_UNKNOWN" => "its device memory is not known",
        "PIN_MISMATCH" => "the request pins the task elsewhere",
        "AVOIDED" => "the request avoids it",
        "NOT_PREFERRED" => "the request prefers others",
        "DEVICE_MASK_MISMATCH" => "the request asks for other devices",
        "EXCLUDED_AFTER_FAILURE" => "the task failed there before",
        _ => return None,
    })
}

fn name(name: Option<&String>) -> &str {
    name.map_or("of no name", String::as_str)
}
