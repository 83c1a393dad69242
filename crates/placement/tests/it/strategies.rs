use std::collections::BTreeMap;

use placement::{
    Base, Cursor, Device, DeviceId, DeviceMemory, DeviceShare, Node, Pool, Replica, Request,
    Snapshot, Strategy, decide,
};

use crate::house::{chosen_by, key, loaded, pool, ready, request};

const ROUND: Strategy = Strategy::Plain(Base::RoundRobin);

/// Pools with busy slots of four, each on a device of its own with so many free bytes.
fn with_memory(pools: &[(&str, u32, u32, Option<u64>)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let device = |id: &str| DeviceId(format!("gpu-{id}").into());
    let memory = |free| DeviceMemory { headroom_bytes: 0, ..DeviceMemory::new(free, 0) };
    let devices =
        pools.iter().map(|(id, .., free)| Device { id: device(id), memory: free.map(memory) });
    snapshot.put_node(Node { devices: devices.collect(), ..Node::online("n") });
    for (id, busy, slots, _) in pools {
        let devices = vec![DeviceShare { id: device(id), ratio: 1 }];
        snapshot.put_pool(Pool { devices, ..pool(id) }).unwrap();
        snapshot.put_replica(Replica { slots: *slots, busy: *busy, ..ready(id) }).unwrap();
    }
    snapshot
}

/// Verifies: ORCH-116, ORCH-118
#[test]
fn each_strategy_chooses_by_its_own_table() {
    let least = Strategy::Plain(Base::LeastLoaded);
    let vram = Strategy::Plain(Base::VramAware);
    type Row<'a> = (&'a str, &'a [(&'a str, u32, u32, Option<u64>)], &'a str, &'a str);
    let rows: &[Row<'_>] = &[
        (
            "share of busy slots, not their count",
            &[("a", 1, 2, Some(9)), ("b", 2, 8, Some(9))],
            "b",
            "a",
        ),
        ("equal load goes by memory", &[("a", 1, 4, Some(5)), ("b", 1, 4, Some(6))], "b", "b"),
        ("memory against load", &[("a", 3, 4, Some(9)), ("b", 0, 4, Some(1))], "b", "a"),
        (
            "equal memory goes by busy slots",
            &[("a", 2, 4, Some(9)), ("b", 1, 1000, Some(9))],
            "b",
            "b",
        ),
        ("unknown memory comes last", &[("a", 0, 4, None), ("b", 0, 4, Some(0))], "b", "b"),
        ("all equal goes by key", &[("b", 1, 4, Some(5)), ("a", 1, 4, Some(5))], "a", "a"),
        ("nobody knows memory", &[("b", 0, 4, None), ("a", 0, 4, None)], "a", "a"),
        ("a full one is never taken", &[("a", 1, 1, Some(99)), ("b", 3, 4, Some(1))], "b", "b"),
    ];
    for (what, pools, by_load, by_memory) in rows {
        let snapshot = with_memory(pools);
        let cursor = Cursor::default();
        assert_eq!(chosen_by(&snapshot, &request(), least, &cursor), Some(*by_load), "{what}");
        assert_eq!(chosen_by(&snapshot, &request(), vram, &cursor), Some(*by_memory), "{what}");
    }
}

/// Verifies: ORCH-116
#[test]
fn round_robin_gives_everyone_the_same_number() {
    let snapshot = loaded(&[("a", 3), ("b", 0), ("c", 1), ("full", 4)]);
    let mut cursor = Cursor::default();
    let mut given: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..30 {
        let decision = decide(&snapshot, &request(), ROUND, &cursor);
        let next = decision.next_cursor().expect("there is a free slot");
        let pool = next.0.as_ref().expect("it names the chosen one").pool.to_string();
        *given.entry(pool).or_default() += 1;
        cursor = next;
    }
    let expected = [("a", 10), ("b", 10), ("c", 10)].map(|(id, count)| (id.to_owned(), count));
    assert_eq!(given, BTreeMap::from(expected));
}

#[test]
fn round_robin_goes_on_behind_a_replica_that_is_gone() {
    let snapshot = loaded(&[("a", 0), ("c", 0)]);
    assert_eq!(chosen_by(&snapshot, &request(), ROUND, &Cursor(Some(key("b")))), Some("c"));
    assert_eq!(chosen_by(&snapshot, &request(), ROUND, &Cursor(Some(key("c")))), Some("a"));
}

/// Verifies: ORCH-116
#[test]
fn a_session_stays_where_it_was_and_falls_back_on_the_base_strategy() {
    let sticky = Strategy::default();
    assert_eq!((sticky.name(), sticky.base().name()), ("session-sticky", "least-loaded"));
    let of_b = Request { last: Some(key("b")), ..request() };
    let cursor = Cursor::default();
    let chosen = |snapshot: &Snapshot, request: &Request, strategy| {
        chosen_by(snapshot, request, strategy, &cursor).map(str::to_owned)
    };
    let snapshot = loaded(&[("a", 0), ("b", 3), ("c", 1)]);
    assert_eq!(chosen(&snapshot, &of_b, sticky).as_deref(), Some("b"));
    assert_eq!(chosen(&snapshot, &of_b, Strategy::Plain(Base::LeastLoaded)).as_deref(), Some("a"));
    assert_eq!(chosen(&snapshot, &request(), sticky).as_deref(), Some("a"));
    let full = loaded(&[("a", 2), ("b", 4), ("c", 1)]);
    assert_eq!(chosen(&full, &of_b, sticky).as_deref(), Some("c"));
    let gone = loaded(&[("a", 2), ("c", 1)]);
    assert_eq!(chosen(&gone, &of_b, sticky).as_deref(), Some("c"));
    let round = Strategy::SessionSticky(Base::RoundRobin);
    assert_eq!(chosen(&gone, &of_b, round).as_deref(), Some("a"));
}
