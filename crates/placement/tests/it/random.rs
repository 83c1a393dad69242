use placement::{
    Base, Continuation, Cursor, Device, DeviceId, DeviceMemory, DeviceShare, Features,
    LoadableModel, Node, Outcome, Pool, ReadyModel, Replica, ReplicaKey, ReplicaState, Request,
    Snapshot, Strategy, Wish, WishMode, decide,
};
use proptest::{prelude::*, sample::subsequence, strategy::Strategy as _};

const NAMES: [&str; 4] = ["a", "ab", "a-b", "b"];
const MODELS: [&str; 2] = ["llama", "mistral"];

fn name() -> impl proptest::strategy::Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

fn profile() -> impl proptest::strategy::Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 1 => Just("warm")]
}

fn state() -> impl proptest::strategy::Strategy<Value = ReplicaState> {
    prop_oneof![
        5 => Just(ReplicaState::Ready),
        1 => Just(ReplicaState::NotReady),
        1 => Just(ReplicaState::Failed),
        1 => Just(ReplicaState::Draining),
    ]
}

prop_compose! {
    fn node()(id in name(), online in prop::bool::weighted(0.9), free in prop::option::of(0_u64..3)) -> Node {
        let memory = free.map(|free| DeviceMemory { headroom_bytes: 0, ..DeviceMemory::new(free, 0) });
        let device = Device { id: DeviceId("g".into()), memory };
        Node { is_online: online, devices: vec![device], ..Node::online(id) }
    }
}

prop_compose! {
    fn pool()(node in name(), id in name(), features in 0_u64..8, gpu: bool, loads: bool, profile in profile())
        -> Pool {
        let device = DeviceShare { id: DeviceId("g".into()), ratio: 1 };
        let model = LoadableModel {
            model: MODELS[0].into(), needed_bytes: 1, ctx_tokens: None, is_verified: true,
        };
        Pool {
            features: Features(features),
            sampler_profile: profile.into(),
            devices: gpu.then_some(device).into_iter().collect(),
            loadable: loads.then_some(model).into_iter().collect(),
            ..Pool::new(node, id)
        }
    }
}

prop_compose! {
    fn replica()(
        node in name(), pool in name(), replica in name(), state in state(), slots in 0_u32..4,
        busy in 0_u32..4, is_kept in prop::bool::weighted(0.1), models in subsequence(MODELS.to_vec(), 0..3),
        ctx in prop::option::of(1_u64..4),
    ) -> Replica {
        let ready = |model: &str| ReadyModel {
            model: model.into(), ctx_tokens: ctx, is_verified: true,
        };
        Replica {
            key: ReplicaKey::new(node, pool, replica),
            state,
            models: models.into_iter().map(ready).collect(),
            slots,
            busy,
            is_kept,
        }
    }
}

prop_compose! {
    fn key()(node in name(), pool in name(), replica in name()) -> ReplicaKey {
        ReplicaKey::new(node, pool, replica)
    }
}

fn wish() -> impl proptest::strategy::Strategy<Value = Wish> {
    let mode = prop_oneof![Just(WishMode::Auto), Just(WishMode::Prefer), Just(WishMode::Pin)];
    let few = || subsequence(NAMES.to_vec(), 0..3);
    (mode, prop::option::of(name()), few(), few(), any::<bool>()).prop_map(
        |(mode, pin, prefer, avoid, no_fallback)| Wish {
            mode,
            pin_pool: pin.map(Into::into),
            prefer_pools: prefer.into_iter().map(Into::into).collect(),
            avoid_pools: avoid.into_iter().map(Into::into).collect(),
            no_fallback,
            ..Wish::default()
        },
    )
}

prop_compose! {
    fn continuation()(by in 0_u64..8, by_same_engine in 0_u64..8, profile in profile()) -> Continuation {
        Continuation {
            by: Features(by),
            by_same_engine: Features(by_same_engine),
            engine: "".into(),
            engine_version: "".into(),
            sampler_profile: profile.into(),
        }
    }
}

prop_compose! {
    fn request()(
        features in 0_u64..4, ctx_tokens in prop::option::of(1_u64..4), goes_on in prop::option::of(continuation()), alone: bool,
        wish in wish(), failed_on in prop::collection::vec(key(), 0..3), last in prop::option::of(key()),
    ) -> Request {
        Request {
            features: Features(features),
            ctx_tokens,
            goes_on,
            alone,
            wish,
            failed_on,
            last,
            ..Request::new(MODELS[0])
        }
    }
}

fn strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    let base = prop_oneof![Just(Base::RoundRobin), Just(Base::LeastLoaded), Just(Base::VramAware)];
    (base, any::<bool>()).prop_map(|(base, sticky)| {
        if sticky { Strategy::SessionSticky(base) } else { Strategy::Plain(base) }
    })
}

/// Nodes, then pools, then replicas; what belongs nowhere is left out.
fn build(nodes: &[Node], pools: &[Pool], replicas: &[Replica]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for node in nodes {
        snapshot.put_node(node.clone());
    }
    for pool in pools {
        drop(snapshot.put_pool(pool.clone()));
    }
    for replica in replicas {
        drop(snapshot.put_replica(replica.clone()));
    }
    snapshot
}

/// The first one of each name; later ones would replace it, so that order would matter.
fn distinct<T: Clone, K: Ord>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = std::collections::BTreeSet::new();
    items.into_iter().filter(|item| seen.insert(key(item))).collect()
}

prop_compose! {
    fn cluster()(
        nodes in prop::collection::vec(node(), 1..4),
        pools in prop::collection::vec(pool(), 0..12),
        replicas in prop::collection::vec(replica(), 0..40),
    ) -> (Vec<Node>, Vec<Pool>, Vec<Replica>) {
        (
            distinct(nodes, |node| node.id.clone()),
            distinct(pools, |pool| (pool.node.clone(), pool.id.clone())),
            distinct(replicas, |replica| replica.key.clone()),
        )
    }
}

proptest! {
    /// Verifies: ORCH-118
    #[test]
    fn the_order_in_which_a_snapshot_was_put_together_changes_no_decision(
        ((nodes, pools, replicas), shuffled) in cluster().prop_flat_map(|(nodes, pools, replicas)| {
            let shuffled = (
                Just(nodes.clone()).prop_shuffle(),
                Just(pools.clone()).prop_shuffle(),
                Just(replicas.clone()).prop_shuffle(),
            );
            (Just((nodes, pools, replicas)), shuffled)
        }),
        request in request(), strategy in strategy(), cursor in prop::option::of(key()),
    ) {
        let cursor = Cursor(cursor);
        let one = build(&nodes, &pools, &replicas);
        let other = build(&shuffled.0, &shuffled.1, &shuffled.2);
        let one = decide(&one, &request, strategy, &cursor);
        let other = decide(&other, &request, strategy, &cursor);
        prop_assert_eq!(one.outcome, other.outcome);
        prop_assert_eq!(one.is_fallback, other.is_fallback);
        let list = |decision: &placement::Decision<'_>| -> Vec<_> {
            let all = decision.candidates();
            all.map(|one| (one.pool.id.clone(), one.replica.cloned(), one.failed)).collect()
        };
        prop_assert_eq!(list(&one), list(&other));
    }

    /// Verifies: ORCH-112
    #[test]
    fn what_is_assigned_passed_every_filter_and_what_passed_is_assigned(
        (nodes, pools, replicas) in cluster(), request in request(), strategy in strategy(),
    ) {
        let snapshot = build(&nodes, &pools, &replicas);
        let decision = decide(&snapshot, &request, strategy, &Cursor::default());
        let places = decision.candidates().count();
        let known = snapshot.replicas().count();
        prop_assert!(places >= known);
        let passed = decision.candidates().filter(|one| one.failed.is_empty());
        let passed: Vec<_> = passed.map(|one| &one.replica.expect("a pool alone never passes").key).collect();
        match decision.outcome {
            Outcome::Assign { replica } => {
                prop_assert!(passed.contains(&replica));
                let chosen = snapshot.replica(replica).expect("it is there");
                prop_assert!(chosen.busy < chosen.slots && !chosen.is_kept);
                prop_assert_eq!(chosen.state, ReplicaState::Ready);
                prop_assert!(!request.alone || chosen.busy == 0);
                let pinned = request.wish.pin_pool.as_ref().filter(|_| decision.is_pinned);
                prop_assert!(pinned.is_none_or(|pool| *pool == replica.pool));
                prop_assert!(!request.wish.avoid_pools.contains(&replica.pool));
            }
            Outcome::Prepare { .. } | Outcome::NoCapacity { .. } => prop_assert!(passed.is_empty()),
        }
    }
}
