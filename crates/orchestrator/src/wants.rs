use std::sync::Arc;

use adapter_host::{Features, Needs, OutputSupport, SamplingSupport};
use api_types::{
    CandidateView, DecisionView, Determinism, PlacementMode, PlacementRequest, Workload,
};
use placement::{Continuation, DeviceId, Explanation, Request, Verdict, Wish, WishMode, Workloads};

use crate::{Outcome, Progress, TaskSpec, pool_table::replica_id};

/// The node that everything of one process is on.
pub const LOCAL_NODE: &str = "local";

/// Bits of [`placement::Features`], beyond those of [`sampling`] and [`output`].
const CONVERSATIONS: u64 = 1 << 16;
const STRICT: u64 = 1 << 17;
const REPLAY: u64 = 1 << 18;

/// What a task asks of the replica that runs it next. `is_begun` where something of its answer was shown.
pub(crate) fn request(
    spec: &TaskSpec,
    progress: &Progress,
    is_begun: bool,
    needs_verified: bool,
) -> Arc<Request> {
    let Needs { sampling: asked, output: wanted } = &spec.needs;
    let conversations = if spec.messages.is_some() { CONVERSATIONS } else { 0 };
    let strict = if spec.determinism == Determinism::Strict { STRICT } else { 0 };
    let replay = if spec.output.is_constrained() { 0 } else { REPLAY };
    let tokens = |prompt: u32| u64::from(prompt) + u64::from(spec.max_tokens);
    let features = sampling(asked) | output(wanted) | conversations | strict;
    // What a worker that was not to blame has computed may still be there.
    let interrupted = progress.attempts.last();
    let interrupted = interrupted.filter(|one| one.outcome == Some(Outcome::Interrupted));
    Arc::new(Request {
        workload: workload(spec.workload),
        features: placement::Features(features),
        // Without a count of the prompt the engine itself has the last word.
        ctx_tokens: spec.prompt_tokens.map(tokens),
        sampler_profile: spec.sampler_profile_version.as_deref().map(Arc::from),
        goes_on: progress.attempts.last().filter(|_| is_begun).map(|last| Continuation {
            by: placement::Features(replay),
            by_same_engine: placement::Features(STRICT),
            engine: last.engine.as_str().into(),
            engine_version: last.engine_version.as_str().into(),
            sampler_profile: last.sampler_profile.as_str().into(),
        }),
        needs_verified,
        alone: progress.poison.is_suspect(),
        wish: wish(&spec.placement),
        failed_on: progress.failed_replicas(),
        last: interrupted.map(|one| replica_id(&one.replica())),
        ..Request::new(spec.model_id.as_str())
    })
}

/// What an engine can do, as placement sees it.
pub(crate) fn features(has: &Features) -> placement::Features {
    let conversations = if has.chat || has.token_ids { CONVERSATIONS } else { 0 };
    let strict = if has.strict { STRICT } else { 0 };
    let replay = if has.replay { REPLAY } else { 0 };
    let given = sampling(&has.sampling) | output(&has.output);
    placement::Features(given | conversations | strict | replay)
}

/// What kinds of work an engine does, as placement sees it.
pub(crate) fn workloads(has: adapter_host::Workloads) -> Workloads {
    let done = [(has.completion, Workload::Completion), (has.embedding, Workload::Embedding)];
    let bits = done.into_iter().filter(|(does, _)| *does).map(|(_, kind)| workload(kind).0);
    Workloads(bits.fold(0, |all, bit| all | bit))
}

fn workload(kind: Workload) -> Workloads {
    Workloads(match kind {
        Workload::Completion => 1,
        Workload::Embedding => 2,
        Workload::Rerank => 4,
    })
}

fn sampling(has: &SamplingSupport) -> u64 {
    bits(
        0,
        [
            has.temperature,
            has.top_p,
            has.top_k,
            has.min_p,
            has.repeat_penalty,
            has.presence_penalty,
            has.frequency_penalty,
            has.seed,
        ],
    )
}

fn output(has: &OutputSupport) -> u64 {
    bits(8, [has.json_object, has.json_schema, has.logprobs, has.tools, has.choices, has.images])
}

fn bits<const N: usize>(first: u32, set: [bool; N]) -> u64 {
    (first..).zip(set).fold(0, |all, (at, is_set)| all | (u64::from(is_set) << at))
}

pub(crate) fn wish(asked: &PlacementRequest) -> Wish {
    let names = |names: &[String]| names.iter().map(|name| Arc::from(name.as_str())).collect();
    Wish {
        mode: match asked.mode {
            PlacementMode::Auto => WishMode::Auto,
            PlacementMode::Prefer => WishMode::Prefer,
            PlacementMode::Pin => WishMode::Pin,
        },
        pin_pool: asked.pin_pool_id.as_deref().map(Arc::from),
        pin_node: asked.pin_node_id.as_deref().map(Arc::from),
        prefer_pools: names(&asked.prefer_pools),
        avoid_pools: names(&asked.avoid_pools),
        device_mask: asked
            .require_device_mask
            .as_ref()
            .map(|mask| mask.iter().map(|device| DeviceId(Arc::from(device.as_str()))).collect()),
        no_fallback: !asked.allow_fallback,
    }
}

/// A decision as the API shows it.
pub(crate) fn decision_view(decision: &Explanation) -> DecisionView {
    let (outcome, reason, node, pool, replica) = match &decision.verdict {
        Verdict::Assign { replica: key } => {
            ("assign", None, Some(&key.node), Some(&key.pool), Some(&key.replica))
        }
        Verdict::Prepare { node, pool, .. } => ("prepare", None, Some(node), Some(pool), None),
        Verdict::NoCapacity { reason } => ("no_capacity", Some(reason.name()), None, None, None),
    };
    let name = |name: Option<&Arc<str>>| name.map(|name| name.to_string());
    let candidates = decision.candidates.iter().map(|one| CandidateView {
        node_id: one.node.to_string(),
        pool_id: one.pool.to_string(),
        replica_id: name(one.replica.as_ref()),
        reasons: one.failed.names().map(str::to_owned).collect(),
    });
    DecisionView {
        outcome: outcome.to_owned(),
        reason: reason.map(str::to_owned),
        strategy: decision.strategy.name().to_owned(),
        snapshot_version: decision.snapshot_version,
        node_id: name(node),
        pool_id: name(pool),
        replica_id: name(replica),
        pinned: decision.is_pinned,
        fallback: decision.is_fallback,
        candidates: candidates.collect(),
        candidates_omitted: decision.omitted as u64,
    }
}
