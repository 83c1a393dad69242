//! What the log says of handoff files: one line for each change.

use adapter_host::ReplicaKey;
use handoff::{Binding, Skip};
use handoff_schema::{HandoffFile, ProvisioningMode};
use narration::{Fact, human};

/// Who changes pools by a file, as audit events name them.
const CALLER: &str = "handoff";

pub(crate) fn bound(name: &str, binding: &Binding) {
    let file = &*binding.file;
    tell(
        "handoff_bound",
        name,
        binding,
        &Fact::HandedOver { pool: &file.pool_id, model: &file.model_ref },
    );
}

pub(crate) fn replaced(name: &str, binding: &Binding) {
    let file = &*binding.file;
    tell(
        "handoff_replaced",
        name,
        binding,
        &Fact::HandoffReplaced { pool: &file.pool_id, model: &file.model_ref },
    );
}

/// Everything that the file tells, used or not, so that nothing in it is passed over in silence.
fn tell(event: &str, name: &str, binding: &Binding, fact: &Fact<'_>) {
    let file = &*binding.file;
    tracing::info!(
        target: "audit",
        audit = true,
        event,
        outcome = "success",
        caller = CALLER,
        file = name,
        pool_id = file.pool_id,
        replica_id = file.replica_id,
        engine = file.engine.name(),
        engine_version = file.engine_version,
        engine_digest = file.engine_digest,
        model = file.model_ref,
        model_digest = file.model_digest,
        url = file.url,
        slots_total = file.slots_total,
        ctx_max = file.ctx_max,
        device_mask = file.device_mask.as_ref().map(|mask| mask.join(",")),
        pid = file.pid,
        start = file.attempt,
        provisioning_mode = file.provisioning_mode.map(ProvisioningMode::name),
        flags = file.flags.as_ref().map(|flags| without_secrets(flags)),
        written_at = file.written_at.map(|at| at.to_string()),
        evidence = binding.evidence.name(),
        verified = binding.evidence.is_verified(),
        human = human(fact),
    );
}

pub(crate) fn awaited(name: &str, file: &HandoffFile, skip: &Skip) {
    tracing::info!(
        event = "handoff_awaited",
        file = name,
        pool_id = file.pool_id,
        replica_id = file.replica_id,
        reason = skip.reason,
        human = human(&Fact::HandoffAwaited { pool: &file.pool_id }),
    );
}

pub(crate) fn unbound(name: &str, replica: &ReplicaKey) {
    tracing::info!(
        target: "audit",
        audit = true,
        event = "handoff_unbound",
        outcome = "success",
        caller = CALLER,
        file = name,
        pool_id = &*replica.pool_id,
        replica_id = &*replica.replica_id,
        human = human(&Fact::HandoffGone { pool: &replica.pool_id }),
    );
}

pub(crate) fn skipped(file: &str, skip: &Skip) {
    tracing::warn!(
        event = "handoff_skipped",
        file,
        why = skip.outcome.name(),
        reason = skip.reason,
        human = human(&Fact::HandoffSkipped { file, outcome: skip.outcome.name() }),
    );
}

/// Flags in one text; what belongs to one whose name speaks of a secret is left out.
fn without_secrets(flags: &[String]) -> String {
    let mut told = Vec::new();
    let mut hides_next = false;
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let names_secret = flag.starts_with('-') && {
            let name = name.to_ascii_lowercase();
            ["key", "token", "secret", "password"].iter().any(|word| name.contains(word))
        };
        told.push(match (names_secret, value.is_empty()) {
            (true, false) => format!("{name}=***"),
            _ if hides_next && !flag.starts_with('-') => "***".to_owned(),
            _ => flag.clone(),
        });
        hides_next = names_secret && value.is_empty();
    }
    told.join(" ")
}
