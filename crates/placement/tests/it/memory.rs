use placement::{
    Cursor, Device, DeviceId, DeviceMemory, DeviceShare, HEADROOM_BYTES, LoadableModel, Node,
    Outcome, OwnMemory, Pool, Snapshot, Strategy, decide,
};

use crate::house::{MODEL, pool, reasons, request};

const GIB: u64 = 1 << 30;

fn own(reserved_bytes: u64, measured_bytes: u64) -> OwnMemory {
    OwnMemory { reserved_bytes, measured_bytes }
}

/// Verifies: ORCH-114
#[test]
fn free_memory_is_total_less_foreign_own_and_headroom() {
    let check = |used: u64, workers: Vec<OwnMemory>, foreign: u64, free: u64| {
        let memory = DeviceMemory { own: workers.clone(), ..DeviceMemory::new(24 * GIB, used) };
        assert_eq!(memory.foreign_bytes(), foreign, "{used} {workers:?}");
        assert_eq!(memory.free_bytes(), free - HEADROOM_BYTES, "{used} {workers:?}");
    };
    check(0, vec![], 0, 24 * GIB);
    check(3 * GIB, vec![], 3 * GIB, 21 * GIB);
    // A worker that has not taken all it reserved.
    check(3 * GIB, vec![own(8 * GIB, GIB)], 2 * GIB, 14 * GIB);
    // One that took more than it reserved.
    check(12 * GIB, vec![own(8 * GIB, 10 * GIB)], 2 * GIB, 12 * GIB);
    check(14 * GIB, vec![own(8 * GIB, 10 * GIB), own(4 * GIB, 4 * GIB)], 0, 10 * GIB);
}

#[test]
fn figures_that_do_not_add_up_leave_nothing_free() {
    let worker = own(u64::MAX, u64::MAX);
    let memory = DeviceMemory { own: vec![worker, worker], ..DeviceMemory::new(GIB, GIB) };
    assert_eq!((memory.foreign_bytes(), memory.free_bytes()), (0, 0));
    assert_eq!(DeviceMemory::new(GIB, 2 * GIB).free_bytes(), 0);
}

/// Two devices with so many free bytes, and a model of 900 bytes that is split between them.
fn split(free: [Option<u64>; 2], ratios: [u32; 2]) -> Snapshot {
    let id = |index: usize| DeviceId(format!("gpu{index}").into());
    let memory = |free| DeviceMemory { headroom_bytes: 0, ..DeviceMemory::new(free, 0) };
    let device = |index: usize| Device { id: id(index), memory: free[index].map(memory) };
    let mut snapshot = Snapshot::default();
    snapshot.put_node(Node { devices: vec![device(1), device(0)], ..Node::online("n") });
    let loadable = LoadableModel {
        model: MODEL.into(),
        needed_bytes: 900,
        ctx_tokens: None,
        is_verified: true,
    };
    snapshot
        .put_pool(Pool {
            devices: (0..2).map(|at| DeviceShare { id: id(at), ratio: ratios[at] }).collect(),
            loadable: vec![loadable],
            ..pool("a")
        })
        .unwrap();
    snapshot
}

/// Verifies: ORCH-114
#[test]
fn each_device_is_judged_with_its_own_share_of_a_split_model() {
    let fits = |free: [u64; 2], ratios| {
        reasons(&split(free.map(Some), ratios), &request()) == [["MODEL_ABSENT"]]
    };
    assert!(fits([450, 450], [1, 1]));
    assert!(!fits([449, 10_000], [1, 1]));
    assert!(fits([300, 600], [1, 2]));
    assert!(!fits([600, 300], [1, 2]), "together there is enough, apart there is not");
    assert!(fits([129, 772], [1, 6]), "shares are rounded up");
    assert!(!fits([128, 772], [1, 6]));
    let half_known = split([Some(900), None], [1, 1]);
    assert_eq!(reasons(&half_known, &request()), [["MODEL_ABSENT", "VRAM_UNKNOWN"]]);
}

#[test]
fn a_model_is_loaded_where_most_memory_is_free() {
    let mut snapshot = Snapshot::default();
    let device = |id: &str, free| Device {
        id: DeviceId(id.into()),
        memory: Some(DeviceMemory { headroom_bytes: 0, ..DeviceMemory::new(free, 0) }),
    };
    let devices = vec![device("g0", 1000), device("g1", 3000), device("g2", 2000)];
    snapshot.put_node(Node { devices, ..Node::online("n") });
    for (id, device) in [("a", "g0"), ("b", "g1"), ("c", "g2")] {
        let model = LoadableModel {
            model: MODEL.into(),
            needed_bytes: 900,
            ctx_tokens: None,
            is_verified: true,
        };
        let devices = vec![DeviceShare { id: DeviceId(device.into()), ratio: 1 }];
        snapshot.put_pool(Pool { devices, loadable: vec![model], ..pool(id) }).unwrap();
    }
    let chosen = |snapshot: &Snapshot| match decide(
        snapshot,
        &request(),
        Strategy::default(),
        &Cursor::default(),
    )
    .outcome
    {
        Outcome::Prepare { pool, .. } => pool.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(chosen(&snapshot), "b");
    let full = DeviceMemory { headroom_bytes: 0, ..DeviceMemory::new(3000, 3000) };
    snapshot.set_memory(&"n".into(), &DeviceId("g1".into()), Some(full));
    assert_eq!(chosen(&snapshot), "c");
}
