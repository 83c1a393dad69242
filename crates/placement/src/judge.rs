use crate::{
    Continuation, Filter, FilterSet, Node, Pool, Replica, ReplicaState, Request,
    device::share_bytes,
    pool::LoadableModel,
    snapshot::{Placed, Snapshot},
};

/// Filters of which a replica fails some for a while only.
const PASSING: FilterSet = FilterSet::of(&[
    Filter::NodeNotOnline,
    Filter::SnapshotStale,
    Filter::PoolNotReady,
    Filter::Draining,
    Filter::SwapPending,
    Filter::CircuitOpen,
    Filter::NoFreeSlot,
]);

/// What fails where only a slot is missing.
pub(crate) const BUSY: FilterSet = FilterSet::of(&[Filter::NoFreeSlot]);

/// What each place of a snapshot fails for a request, in the order of [`Snapshot::places`].
pub(crate) fn judge_all(snapshot: &Snapshot, request: &Request, failed: &mut Vec<FilterSet>) {
    let mut node: Option<&Node> = None;
    for placed in snapshot.pools() {
        if node.is_none_or(|node| node.id != placed.pool.node) {
            node = snapshot.node(&placed.pool.node);
        }
        let node = node.expect("a pool goes with its node");
        let of_pool = judge_pool(node, &placed.pool, request);
        if placed.replicas.is_empty() {
            failed.push(of_pool.and(judge_load(node, &placed.pool, request)));
        }
        for replica in &placed.replicas {
            failed.push(of_pool.and(judge_replica(node, &placed.pool, replica, request)));
        }
    }
    if let Some(continuation) = &request.goes_on {
        send_on(snapshot, continuation, failed);
    }
    if !request.failed_on.is_empty() {
        exclude(snapshot, request, failed);
    }
}

/// Rejects what the client does not prefer, where something that it prefers can take the task now.
pub(crate) fn prefer(snapshot: &Snapshot, request: &Request, failed: &mut [FilterSet]) {
    let passes = |(at, (placed, replica)): (usize, (&Placed, Option<&Replica>))| {
        replica.is_some() && failed[at].is_empty() && request.wish.prefers(&placed.pool)
    };
    if snapshot.places().enumerate().any(passes) {
        for (failed, (placed, _)) in failed.iter_mut().zip(snapshot.places()) {
            failed.note(Filter::NotPreferred, !request.wish.prefers(&placed.pool));
        }
    }
}

/// Whether waiting may help: what fails, fails for a while only.
pub(crate) fn may_pass(failed: FilterSet) -> bool {
    failed.without(PASSING).is_empty()
}

fn judge_pool(node: &Node, pool: &Pool, request: &Request) -> FilterSet {
    let wish = &request.wish;
    let mut failed = FilterSet::NONE;
    failed.note(Filter::NodeNotOnline, !node.is_online);
    failed.note(Filter::SnapshotStale, node.is_stale);
    failed.note(Filter::EngineMismatch, differs(request.engine.as_ref(), &pool.engine));
    failed.note(Filter::WorkloadUnsupported, !pool.workloads.has(request.workload));
    failed.note(Filter::FeatureMissing, !pool.features.has(request.features));
    failed.note(
        Filter::VersionMismatch,
        differs(request.engine_version.as_ref(), &pool.engine_version)
            || differs(request.sampler_profile.as_ref(), &pool.sampler_profile),
    );
    failed.note(Filter::PinMismatch, wish.is_pinned_elsewhere(pool));
    failed.note(Filter::Avoided, wish.avoids(pool));
    failed.note(Filter::NotPreferred, wish.no_fallback && !wish.prefers(pool));
    failed.note(Filter::DeviceMaskMismatch, wish.wants_other_devices(pool));
    failed
}

fn differs<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
    wanted.is_some_and(|wanted| wanted != found)
}

fn judge_replica(node: &Node, pool: &Pool, replica: &Replica, request: &Request) -> FilterSet {
    let mut failed = match replica.model(&request.model) {
        Some(model) => {
            let mut failed = FilterSet::NONE;
            failed.note(Filter::CtxTooSmall, is_too_small(model.ctx_tokens, request));
            failed.note(Filter::Unverified, request.needs_verified && !model.is_verified);
            let is_free = replica.busy < replica.slots
                && !replica.is_kept
                && (replica.busy == 0 || !request.alone);
            failed.note(Filter::NoFreeSlot, !is_free);
            failed
        }
        None => {
            let mut failed = judge_load(node, pool, request);
            // What runs there is not stopped for another model (ORCH-124).
            failed.note(Filter::NoFreeSlot, replica.busy > 0 || replica.is_kept);
            failed
        }
    };
    if let Some(filter) = replica.state.failed() {
        failed.note(filter, true);
    }
    failed
}

/// What keeps a pool that does not hold the model from running it: that, and what keeps it from loading it.
fn judge_load(node: &Node, pool: &Pool, request: &Request) -> FilterSet {
    let mut failed = FilterSet::of(&[Filter::ModelAbsent]);
    match pool.loadable.iter().find(|one| one.model == request.model) {
        None => failed.note(Filter::LoadNotAllowed, true),
        Some(loadable) => {
            failed.note(Filter::CtxTooSmall, is_too_small(loadable.ctx_tokens, request));
            failed.note(Filter::Unverified, request.needs_verified && !loadable.is_verified);
            judge_memory(node, pool, loadable, &mut failed);
        }
    }
    failed
}

fn is_too_small(ctx_tokens: Option<u64>, request: &Request) -> bool {
    // Where one of them is not known, the engine has the last word.
    matches!((ctx_tokens, request.ctx_tokens), (Some(has), Some(needs)) if has < needs)
}

/// Each device of the mask with its own share (ORCH-114); by what the configuration grants where a device
/// does not tell (ORCH-115).
fn judge_memory(node: &Node, pool: &Pool, loadable: &LoadableModel, failed: &mut FilterSet) {
    let is_granted = pool.memory_bytes.map(|granted| loadable.needed_bytes <= granted);
    if pool.devices.is_empty() {
        failed.note(Filter::VramInsufficient, is_granted == Some(false));
        return;
    }
    let ratios = pool.devices.iter().map(|device| u64::from(device.ratio)).sum();
    for device in &pool.devices {
        match node.free_bytes(&device.id) {
            Some(free_bytes) => {
                let share = share_bytes(loadable.needed_bytes, device.ratio, ratios);
                failed.note(Filter::VramInsufficient, share > free_bytes);
            }
            None => {
                failed.note(Filter::VramInsufficient, is_granted == Some(false));
                failed.note(Filter::VramUnknown, is_granted.is_none());
            }
        }
    }
}

/// A task of which something was shown goes only where it can go on, unless nobody ever can.
fn send_on(snapshot: &Snapshot, continuation: &Continuation, failed: &mut [FilterSet]) {
    let can = |(failed, (placed, replica)): (&FilterSet, (&Placed, Option<&Replica>))| {
        let is_there = replica.is_some_and(|replica| replica.state != ReplicaState::Failed);
        is_there && may_pass(*failed) && continuation.failed(&placed.pool).is_empty()
    };
    if failed.iter().zip(snapshot.places()).any(can) {
        for (failed, (placed, _)) in failed.iter_mut().zip(snapshot.places()) {
            *failed = failed.and(continuation.failed(&placed.pool));
        }
    }
}

/// A replica that failed the task is not tried while another is open for it, even if that one is busy.
fn exclude(snapshot: &Snapshot, request: &Request, failed: &mut [FilterSet]) {
    let has_failed = |replica: &Replica| request.failed_on.contains(&replica.key);
    let is_other = |(failed, (_, replica)): (&FilterSet, (&Placed, Option<&Replica>))| {
        replica.is_some_and(|replica| !has_failed(replica)) && failed.without(BUSY).is_empty()
    };
    if failed.iter().zip(snapshot.places()).any(is_other) {
        for (failed, (_, replica)) in failed.iter_mut().zip(snapshot.places()) {
            failed.note(Filter::ExcludedAfterFailure, replica.is_some_and(has_failed));
        }
    }
}
