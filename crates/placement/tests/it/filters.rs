use std::sync::Arc;

use placement::{
    Cursor, Device, DeviceId, DeviceMemory, DeviceShare, Features, Filter, LoadableModel,
    NoCapacity, Node, Outcome, Pool, ReadyModel, Replica, ReplicaState, Request, Snapshot,
    Strategy, Wish, WishMode, Workloads, decide,
};

use crate::house::{MODEL, chosen, cluster, key, pool, ready, reasons, request};

/// A lone candidate that passes everything.
struct Case {
    node: Node,
    pool: Pool,
    replica: Option<Replica>,
    request: Request,
}

impl Case {
    fn new() -> Self {
        Self {
            node: Node::online("n"),
            pool: pool("a"),
            replica: Some(ready("a")),
            request: request(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.put_node(self.node.clone());
        snapshot.put_pool(self.pool.clone()).unwrap();
        if let Some(replica) = &self.replica {
            snapshot.put_replica(replica.clone()).unwrap();
        }
        snapshot
    }
}

/// What is changed of a case that passes everything rejects it with exactly `expected`.
fn check(expected: &[&str], change: impl FnOnce(&mut Case)) {
    let mut case = Case::new();
    assert_eq!(chosen(&case.snapshot(), &case.request), Some("a"), "before");
    change(&mut case);
    let snapshot = case.snapshot();
    assert_eq!(chosen(&snapshot, &case.request), None, "{expected:?}");
    assert_eq!(reasons(&snapshot, &case.request), [expected.to_vec()]);
}

fn in_state(state: ReplicaState) -> impl FnOnce(&mut Case) {
    move |case| case.replica.as_mut().unwrap().state = state
}

/// Verifies: ORCH-113, ORCH-112
#[test]
fn each_filter_rejects_alone() {
    let wish = |wish: Wish| move |case: &mut Case| case.request.wish = wish;
    check(&["NODE_NOT_ONLINE"], |case| case.node.is_online = false);
    check(&["SNAPSHOT_STALE"], |case| case.node.is_stale = true);
    check(&["POOL_NOT_READY"], in_state(ReplicaState::NotReady));
    check(&["POOL_NOT_READY"], in_state(ReplicaState::Failed));
    check(&["DRAINING"], in_state(ReplicaState::Draining));
    check(&["SWAP_PENDING"], in_state(ReplicaState::SwapPending));
    check(&["CIRCUIT_OPEN"], in_state(ReplicaState::CircuitOpen));
    check(&["ENGINE_MISMATCH"], |case| case.request.engine = Some("vllm".into()));
    check(&["WORKLOAD_UNSUPPORTED"], |case| case.request.workload = Workloads(2));
    check(&["FEATURE_MISSING"], |case| case.request.features = Features(8));
    check(&["VERSION_MISMATCH"], |case| case.request.engine_version = Some("2".into()));
    check(&["VERSION_MISMATCH"], |case| case.request.sampler_profile = Some("2".into()));
    check(&["UNVERIFIED"], |case| {
        case.request.needs_verified = true;
        case.replica.as_mut().unwrap().models[0].is_verified = false;
    });
    check(&["CTX_TOO_SMALL"], |case| {
        case.request.ctx_tokens = Some(4097);
        case.replica.as_mut().unwrap().models[0].ctx_tokens = Some(4096);
    });
    check(&["NO_FREE_SLOT"], |case| case.replica.as_mut().unwrap().busy = 2);
    check(&["NO_FREE_SLOT"], |case| case.replica.as_mut().unwrap().is_kept = true);
    check(&["NO_FREE_SLOT"], |case| {
        case.replica.as_mut().unwrap().busy = 1;
        case.request.alone = true;
    });
    check(
        &["PIN_MISMATCH"],
        wish(Wish { mode: WishMode::Pin, pin_pool: Some("b".into()), ..Wish::default() }),
    );
    check(
        &["PIN_MISMATCH"],
        wish(Wish { mode: WishMode::Pin, pin_node: Some("m".into()), ..Wish::default() }),
    );
    check(&["AVOIDED"], wish(Wish { avoid_pools: vec!["a".into()], ..Wish::default() }));
    check(
        &["NOT_PREFERRED"],
        wish(Wish {
            mode: WishMode::Prefer,
            prefer_pools: vec!["b".into()],
            no_fallback: true,
            ..Wish::default()
        }),
    );
    check(
        &["DEVICE_MASK_MISMATCH"],
        wish(Wish { device_mask: Some(vec![DeviceId("gpu0".into())]), ..Wish::default() }),
    );
}

/// A pool without replicas that may load the model onto a device with `free` bytes; `None` where nobody
/// knows.
fn to_load(free: Option<u64>) -> Case {
    let id = DeviceId("gpu0".into());
    let memory = free.map(|free| DeviceMemory { headroom_bytes: 0, ..DeviceMemory::new(free, 0) });
    let mut case = Case::new();
    case.replica = None;
    case.node.devices = vec![Device { id: id.clone(), memory }];
    case.pool.devices = vec![DeviceShare { id, ratio: 1 }];
    case.pool.loadable = vec![LoadableModel {
        model: MODEL.into(),
        needed_bytes: 1000,
        ctx_tokens: Some(4096),
        is_verified: true,
    }];
    case
}

fn check_load(expected: &[&str], case: &Case) {
    let snapshot = case.snapshot();
    assert_eq!(reasons(&snapshot, &case.request), [expected.to_vec()]);
    let cursor = Cursor::default();
    let outcome = decide(&snapshot, &case.request, Strategy::default(), &cursor).outcome;
    let model: Arc<str> = MODEL.into();
    let (node, pool) = (&"n".into(), &"a".into());
    let expected_outcome = if expected == ["MODEL_ABSENT"] {
        Outcome::Prepare { node, pool, model: &model }
    } else {
        Outcome::NoCapacity { reason: NoCapacity::Unfit }
    };
    assert_eq!(outcome, expected_outcome);
}

/// Verifies: ORCH-113, ORCH-114, ORCH-115
#[test]
fn a_missing_model_is_loaded_where_that_is_allowed_and_fits() {
    check_load(&["MODEL_ABSENT"], &to_load(Some(1000)));
    check_load(&["MODEL_ABSENT", "VRAM_INSUFFICIENT"], &to_load(Some(999)));
    check_load(&["MODEL_ABSENT", "VRAM_UNKNOWN"], &to_load(None));

    let mut declared = to_load(None);
    declared.pool.memory_bytes = Some(1000);
    check_load(&["MODEL_ABSENT"], &declared);
    declared.pool.memory_bytes = Some(999);
    check_load(&["MODEL_ABSENT", "VRAM_INSUFFICIENT"], &declared);

    let mut forbidden = to_load(Some(1000));
    forbidden.pool.loadable.clear();
    check_load(&["MODEL_ABSENT", "LOAD_NOT_ALLOWED"], &forbidden);

    let mut small = to_load(Some(1000));
    small.request.ctx_tokens = Some(4097);
    check_load(&["MODEL_ABSENT", "CTX_TOO_SMALL"], &small);

    let mut unverified = to_load(Some(1000));
    unverified.request.needs_verified = true;
    unverified.pool.loadable[0].is_verified = false;
    check_load(&["MODEL_ABSENT", "UNVERIFIED"], &unverified);
}

/// Verifies: ORCH-114, ORCH-115
#[test]
fn memory_never_rejects_a_replica_that_holds_the_model() {
    for free in [Some(0), None] {
        let mut case = to_load(free);
        case.replica = Some(ready("a"));
        assert_eq!(chosen(&case.snapshot(), &case.request), Some("a"));
    }
}

#[test]
fn what_runs_is_not_stopped_for_another_model() {
    let mut case = to_load(Some(1000));
    let other = ReadyModel { model: "mistral".into(), ctx_tokens: None, is_verified: true };
    case.replica = Some(Replica { models: vec![other], busy: 1, ..ready("a") });
    assert_eq!(reasons(&case.snapshot(), &case.request), [["MODEL_ABSENT", "NO_FREE_SLOT"]]);
    case.replica.as_mut().unwrap().busy = 0;
    check_load(&["MODEL_ABSENT"], &case);
}

#[test]
fn a_copy_that_is_busy_keeps_another_from_being_loaded() {
    let mut case = to_load(Some(1000));
    case.pool.id = "b".into();
    let mut snapshot = case.snapshot();
    snapshot.put_pool(pool("a")).unwrap();
    snapshot.put_replica(Replica { busy: 2, ..ready("a") }).unwrap();
    let cursor = Cursor::default();
    let outcome = decide(&snapshot, &case.request, Strategy::default(), &cursor).outcome;
    assert_eq!(outcome, Outcome::NoCapacity { reason: NoCapacity::Busy });
}

/// Verifies: ORCH-112
#[test]
fn every_failed_filter_of_a_candidate_is_told() {
    let mut case = Case::new();
    case.node.is_online = false;
    case.request.engine = Some("vllm".into());
    case.request.wish.avoid_pools = vec!["a".into()];
    case.replica.as_mut().unwrap().busy = 2;
    case.replica.as_mut().unwrap().state = ReplicaState::Draining;
    assert_eq!(
        reasons(&case.snapshot(), &case.request),
        [["NODE_NOT_ONLINE", "DRAINING", "ENGINE_MISMATCH", "NO_FREE_SLOT", "AVOIDED"]]
    );
}

#[test]
fn the_reason_for_waiting_says_whether_waiting_helps() {
    let reason = |snapshot: &Snapshot| {
        let cursor = Cursor::default();
        match decide(snapshot, &request(), Strategy::default(), &cursor).outcome {
            Outcome::NoCapacity { reason } => reason.name(),
            Outcome::Assign { .. } | Outcome::Prepare { .. } => "none",
        }
    };
    let backing_off = Replica { state: ReplicaState::NotReady, ..ready("a") };
    let busy = Replica { busy: 2, ..ready("b") };
    let other = Replica::ready(key("c"), "mistral", 1);
    assert_eq!(reason(&Snapshot::default()), "NO_CANDIDATE");
    assert_eq!(reason(&cluster([(pool("c"), other.clone())])), "UNFIT");
    let down = cluster([(pool("a"), backing_off.clone()), (pool("c"), other.clone())]);
    assert_eq!(reason(&down), "NOT_READY");
    let full = cluster([(pool("a"), backing_off), (pool("b"), busy), (pool("c"), other)]);
    assert_eq!(reason(&full), "BUSY");
}

#[test]
fn the_codes_are_those_of_the_requirement() {
    let names: Vec<_> = Filter::ALL.iter().map(|filter| filter.name()).collect();
    let expected = "NODE_NOT_ONLINE, SNAPSHOT_STALE, POOL_NOT_READY, DRAINING, SWAP_PENDING, \
        CIRCUIT_OPEN, ENGINE_MISMATCH, WORKLOAD_UNSUPPORTED, FEATURE_MISSING, VERSION_MISMATCH, \
        MODEL_ABSENT, LOAD_NOT_ALLOWED, UNVERIFIED, CTX_TOO_SMALL, NO_FREE_SLOT, \
        VRAM_INSUFFICIENT, VRAM_UNKNOWN, PIN_MISMATCH, AVOIDED, NOT_PREFERRED, \
        DEVICE_MASK_MISMATCH, EXCLUDED_AFTER_FAILURE";
    assert_eq!(names.join(", "), expected);
}
