use placement::{
    Cursor, Device, DeviceId, DeviceMemory, Node, Pool, Replica, ReplicaKey, ReplicaState,
    Snapshot, Strategy, Unplaced, decide,
};

use crate::house::{chosen, cluster, key, pool, ready, request};

#[test]
fn the_version_grows_with_topology_and_readiness_and_with_nothing_else() {
    let mut snapshot = Snapshot::default();
    let mut last = snapshot.version();
    let mut grew = |snapshot: &Snapshot| {
        let before = std::mem::replace(&mut last, snapshot.version());
        assert!(before <= last);
        before < last
    };
    let device = DeviceId("g0".into());
    let node =
        Node { devices: vec![Device { id: device.clone(), memory: None }], ..Node::online("n") };
    snapshot.put_node(node.clone());
    assert!(grew(&snapshot), "a node");
    snapshot.put_node(node.clone());
    assert!(!grew(&snapshot), "the same node");
    snapshot.put_pool(pool("a")).unwrap();
    assert!(grew(&snapshot), "a pool");
    snapshot.put_replica(ready("a")).unwrap();
    assert!(grew(&snapshot), "a replica");
    snapshot.put_replica(Replica { busy: 1, ..ready("a") }).unwrap();
    snapshot.set_busy(&key("a"), 2);
    snapshot.set_kept(&key("a"), true);
    snapshot.set_memory(&"n".into(), &device, Some(DeviceMemory::new(1, 1)));
    snapshot.put_pool(pool("a")).unwrap();
    assert!(!grew(&snapshot), "slots and memory that are used");
    snapshot.put_replica(Replica { state: ReplicaState::Draining, ..ready("a") }).unwrap();
    assert!(grew(&snapshot), "a replica's state");
    snapshot.put_replica(Replica { slots: 9, ..ready("a") }).unwrap();
    assert!(grew(&snapshot), "a replica's slots");
    snapshot.put_pool(Pool { engine: "vllm".into(), ..pool("a") }).unwrap();
    assert!(grew(&snapshot), "a pool's engine");
    snapshot.put_node(Node { is_online: false, ..node });
    assert!(grew(&snapshot), "a node that left");
    snapshot.remove_replica(&key("a"));
    assert!(grew(&snapshot), "a replica that is gone");
    snapshot.remove_replica(&key("a"));
    assert!(!grew(&snapshot), "one that was gone before");
    snapshot.remove_pool("n", "a");
    assert!(grew(&snapshot), "a pool that is gone");
    snapshot.remove_node("n");
    assert!(grew(&snapshot), "a node that is gone");
    let decision = decide(&snapshot, &request(), Strategy::default(), &Cursor::default());
    assert_eq!(decision.snapshot_version, snapshot.version());
}

#[test]
fn nothing_is_put_where_nothing_is() {
    let mut snapshot = Snapshot::default();
    assert_eq!(snapshot.put_pool(pool("a")), Err(Unplaced::UnknownNode("n".into())));
    snapshot.put_node(Node::online("n"));
    assert_eq!(snapshot.put_replica(ready("a")), Err(Unplaced::UnknownPool("a".into())));
    snapshot.set_busy(&key("a"), 1);
    snapshot.remove_pool("n", "a");
    assert_eq!(snapshot.replicas().count(), 0);
}

#[test]
fn what_leaves_takes_its_parts_along() {
    let mut snapshot = cluster([(pool("a"), ready("a")), (pool("b"), ready("b"))]);
    snapshot.put_replica(Replica::ready(ReplicaKey::new("n", "a", "1"), "llama", 1)).unwrap();
    snapshot.remove_pool("n", "a");
    assert_eq!(snapshot.replicas().count(), 1);
    assert_eq!(chosen(&snapshot, &request()), Some("b"));
    snapshot.put_node(Node::online("m"));
    snapshot.remove_node("n");
    assert_eq!(chosen(&snapshot, &request()), None);
}
