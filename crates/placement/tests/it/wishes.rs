use placement::{
    Continuation, Cursor, DeviceId, DeviceShare, Features, Pool, Replica, ReplicaState, Request,
    Strategy, Wish, WishMode, decide, to_empty,
};

use crate::house::{chosen, cluster, key, loaded, pool, ready, reasons, request};

fn wishing(wish: Wish) -> Request {
    Request { wish, ..request() }
}

fn preferring(pools: &[&str], no_fallback: bool) -> Request {
    let prefer_pools = pools.iter().map(|id| (*id).into()).collect();
    wishing(Wish { mode: WishMode::Prefer, prefer_pools, no_fallback, ..Wish::default() })
}

#[test]
fn another_pool_is_taken_only_where_no_preferred_one_can() {
    let prefers_b = preferring(&["b"], false);
    let snapshot = loaded(&[("a", 0), ("b", 3), ("c", 0)]);
    assert_eq!(chosen(&snapshot, &prefers_b), Some("b"));
    assert_eq!(
        reasons(&snapshot, &prefers_b),
        [vec!["NOT_PREFERRED"], vec![], vec!["NOT_PREFERRED"]]
    );

    let full = loaded(&[("a", 1), ("b", 4), ("c", 0)]);
    assert_eq!(chosen(&full, &prefers_b), Some("c"));
    let cursor = Cursor::default();
    assert!(decide(&full, &prefers_b, Strategy::default(), &cursor).is_fallback);
    assert!(!decide(&snapshot, &prefers_b, Strategy::default(), &cursor).is_fallback);

    let only_b = preferring(&["b"], true);
    assert_eq!(chosen(&full, &only_b), None);
    assert_eq!(
        reasons(&full, &only_b),
        [vec!["NOT_PREFERRED"], vec!["NO_FREE_SLOT"], vec!["NOT_PREFERRED"]]
    );
}

#[test]
fn a_pinned_task_goes_nowhere_else_even_after_a_failure_there() {
    let pinned = Request {
        failed_on: vec![key("b")],
        ..wishing(Wish { mode: WishMode::Pin, pin_pool: Some("b".into()), ..Wish::default() })
    };
    let snapshot = loaded(&[("a", 0), ("b", 3)]);
    assert_eq!(chosen(&snapshot, &pinned), Some("b"));
    assert!(decide(&snapshot, &pinned, Strategy::default(), &Cursor::default()).is_pinned);
    assert_eq!(chosen(&loaded(&[("a", 0), ("b", 4)]), &pinned), None);
}

#[test]
fn avoided_pools_and_other_devices_are_never_taken() {
    let avoiding = wishing(Wish { avoid_pools: vec!["a".into()], ..Wish::default() });
    assert_eq!(chosen(&loaded(&[("a", 0), ("b", 3)]), &avoiding), Some("b"));
    assert_eq!(chosen(&loaded(&[("a", 0), ("b", 4)]), &avoiding), None);

    let on = |id: &str, devices: &[&str]| {
        let share = |id: &&str| DeviceShare { id: DeviceId((*id).into()), ratio: 1 };
        let pool = Pool { devices: devices.iter().map(share).collect(), ..pool(id) };
        (pool, ready(id))
    };
    let snapshot = cluster([on("a", &["g0"]), on("b", &["g0", "g1"]), on("c", &[])]);
    let masked = |devices: &[&str]| {
        let device_mask = Some(devices.iter().map(|id| DeviceId((*id).into())).collect());
        wishing(Wish { device_mask, ..Wish::default() })
    };
    assert_eq!(chosen(&snapshot, &masked(&["g1", "g0"])), Some("b"));
    assert_eq!(chosen(&snapshot, &masked(&["g0"])), Some("a"));
    assert_eq!(chosen(&snapshot, &masked(&[])), Some("c"));
    assert_eq!(chosen(&snapshot, &masked(&["g1"])), None);
}

#[test]
fn a_replica_that_failed_is_excluded_while_another_is_open() {
    let failed = Request { failed_on: vec![key("a")], ..request() };
    let snapshot = loaded(&[("a", 0), ("b", 3)]);
    assert_eq!(chosen(&snapshot, &failed), Some("b"));
    assert_eq!(reasons(&snapshot, &failed), [vec!["EXCLUDED_AFTER_FAILURE"], vec![]]);
    let busy = loaded(&[("a", 0), ("b", 4)]);
    assert_eq!(chosen(&busy, &failed), None, "b is open, and frees a slot some time");
    let down = Replica { state: ReplicaState::NotReady, ..ready("b") };
    let alone = cluster([(pool("a"), ready("a")), (pool("b"), down)]);
    assert_eq!(chosen(&alone, &failed), Some("a"));
}

#[test]
fn what_was_begun_goes_where_it_can_go_on_as_long_as_that_may_come_back() {
    let begun = Request { goes_on: Some(going_on(0b110, 0)), ..request() };
    let continuing = |state| {
        let able = Pool { features: Features(0b011), ..pool("b") };
        cluster([(pool("a"), ready("a")), (able, Replica { state, ..ready("b") })])
    };
    assert_eq!(chosen(&continuing(ReplicaState::Ready), &begun), Some("b"));
    assert_eq!(chosen(&continuing(ReplicaState::NotReady), &begun), None);
    let snapshot = continuing(ReplicaState::NotReady);
    assert_eq!(reasons(&snapshot, &begun), [["FEATURE_MISSING"], ["POOL_NOT_READY"]]);
    assert_eq!(chosen(&continuing(ReplicaState::Failed), &begun), Some("a"));
}

/// Verifies: ORCH-100, ORCH-102
#[test]
fn what_was_begun_goes_on_under_its_own_sampler_profile_and_is_repeated_by_its_own_engine_only() {
    let check = |changed: fn(&mut Pool), expected: &[&str]| {
        let begun = Request { goes_on: Some(going_on(0b01, 0b10)), ..request() };
        let mut other = Pool { features: Features(0b10), ..pool("a") };
        changed(&mut other);
        let able = Pool { features: Features(0b10), ..pool("b") };
        let snapshot = cluster([(other, ready("a")), (able, ready("b"))]);
        assert_eq!(reasons(&snapshot, &begun), [expected, &[]]);
    };
    check(|_| {}, &[]);
    check(|pool| pool.engine = "other".into(), &["VERSION_MISMATCH"]);
    check(|pool| pool.engine_version = "2".into(), &["VERSION_MISMATCH"]);
    check(|pool| pool.sampler_profile = "warm".into(), &["VERSION_MISMATCH"]);
    check(|pool| pool.features = Features(0b100), &["FEATURE_MISSING"]);
    // What needs no equal engine takes any, but no other profile.
    let replays = |pool: &mut Pool| {
        pool.features = Features(0b11);
        pool.engine_version = "2".into();
    };
    check(replays, &[]);
    let drawn_otherwise = |pool: &mut Pool| {
        pool.features = Features(0b11);
        pool.sampler_profile = "warm".into();
    };
    check(drawn_otherwise, &["VERSION_MISMATCH"]);
}

/// What goes on in a pool without engine, version and profile, as those of the tests are.
fn going_on(by: u64, by_same_engine: u64) -> Continuation {
    Continuation {
        by: Features(by),
        by_same_engine: Features(by_same_engine),
        engine: "".into(),
        engine_version: "".into(),
        sampler_profile: "".into(),
    }
}

#[test]
fn the_least_busy_replica_empties_for_a_task_that_runs_alone() {
    let alone = Request { alone: true, ..request() };
    let emptied = |pools: &[(&str, u32)]| {
        let snapshot = loaded(pools);
        to_empty(&snapshot, &alone).map(|key| key.pool.to_string())
    };
    assert_eq!(emptied(&[("a", 3), ("b", 2), ("c", 2)]), Some("b".to_owned()));
    assert_eq!(emptied(&[("a", 3), ("b", 0)]), None, "it can start at once");
    assert_eq!(emptied(&[]), None);
}
