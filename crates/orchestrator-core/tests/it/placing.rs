use std::sync::Arc;

use orchestrator_core::{Event, Offer, Replica, ServiceSample};
use placement::{Base, NoCapacity, Request, Strategy, Verdict, Wish, WishMode};

use crate::house::{House, by, id, model, offer, replica_id, starts};

fn asking(number: u64, request: Request) -> Offer {
    Offer { request: Arc::new(request), ..offer(number) }
}

fn pinned(number: u64, pool: &str) -> Offer {
    let wish = Wish { mode: WishMode::Pin, pin_pool: Some(pool.into()), ..Wish::default() };
    asking(number, Request { wish, ..Request::new("m") })
}

fn needing(number: u64, ctx_tokens: u64) -> Offer {
    asking(number, Request { ctx_tokens: Some(ctx_tokens), ..Request::new("m") })
}

fn started(actions: &[orchestrator_core::Action]) -> Vec<(u64, String)> {
    starts(actions).into_iter().map(|(task, replica, _)| (task, replica)).collect()
}

fn at(number: u64, replica: &str) -> Vec<(u64, String)> {
    vec![(number, replica.to_owned())]
}

/// Says what a replica with one slot can do.
fn with_context(house: &mut House, replica: &str, ctx_tokens: u64) -> Vec<(u64, String)> {
    let mut change = Replica::new(replica_id(replica), &[model("m")], 1);
    change.replica.models[0].ctx_tokens = Some(ctx_tokens);
    started(&house.step(Event::ReplicaChanged(change)))
}

/// Verifies: ORCH-044, ORCH-111
#[test]
fn a_task_is_passed_only_on_a_slot_that_it_could_not_use() {
    let mut house = House::new();
    house.serve("a.0", &["m"], 1);
    house.serve("b.0", &["m"], 1);
    assert_eq!(started(&house.admit(pinned(1, "a"))), at(1, "a.0"));
    assert_eq!(started(&house.admit(pinned(2, "a"))), []);
    assert_eq!(started(&house.admit(offer(3))), at(3, "b.0"));
    assert_eq!(started(&house.admit(by("bob", 4))), []);
    // The slot of `a` is for the one that waited first, although others could use it, too.
    assert_eq!(started(&house.finish(1, 1)), at(2, "a.0"));
    assert_eq!(started(&house.finish(3, 2)), at(4, "b.0"));
}

/// Verifies: ORCH-046
#[test]
fn the_rotation_goes_on_among_those_that_can_start() {
    let mut house = House::new();
    house.serve("a.0", &["m"], 1);
    house.serve("b.0", &["m"], 1);
    house.admit(pinned(1, "a"));
    house.admit(pinned(2, "b"));
    for (number, who) in [(3, "ann"), (4, "ann"), (5, "bob"), (6, "bob")] {
        house.admit(Offer { request: pinned(number, "b").request, ..by(who, number) });
    }
    house.admit(Offer { request: pinned(7, "a").request, ..by("ann", 7) });
    let mut order = Vec::new();
    let mut lease = 2;
    let mut task = 2;
    loop {
        let next = starts(&house.finish(task, lease));
        let [(number, _, taken)] = next[..] else { break };
        order.push(number);
        (task, lease) = (number, taken);
    }
    assert_eq!(order, [3, 5, 4, 6]);
    assert_eq!(started(&house.finish(1, 1)), at(7, "a.0"));
}

/// Verifies: ORCH-044
#[test]
fn a_long_task_waits_for_a_replica_with_room_and_short_ones_pass() {
    let mut house = House::new();
    assert_eq!(with_context(&mut house, "small.0", 1000), []);
    assert_eq!(started(&house.admit(needing(1, 1001))), []);
    assert_eq!(started(&house.admit(needing(2, 1000))), at(2, "small.0"));
    house.admit(needing(3, 900));
    house.admit(needing(4, 3000));
    // A replica with another context comes: what the waiting tasks ask for is told apart anew.
    assert_eq!(with_context(&mut house, "large.0", 2000), at(1, "large.0"));
    assert_eq!(started(&house.finish(1, 2)), at(3, "large.0"));
    assert_eq!(started(&house.finish(2, 1)), []);
    assert_eq!(started(&house.finish(3, 3)), []);
    assert_eq!(with_context(&mut house, "small.0", 3000), at(4, "small.0"));
}

/// Verifies: ORCH-116, ORCH-117
#[test]
fn the_strategy_is_that_of_the_model() {
    let mut house = House::new();
    let round = Strategy::Plain(Base::RoundRobin);
    house.scheduler.strategies_mut().models.insert(model("m"), round);
    for replica in ["a.0", "b.0", "c.0"] {
        house.serve(replica, &["m", "other"], 9);
    }
    let places = |house: &mut House, name: &str, from: u64| -> Vec<String> {
        let offers = (from..from + 4).map(|number| crate::house::of(name, number));
        offers.flat_map(|offer| started(&house.admit(offer))).map(|(_, at)| at).collect()
    };
    assert_eq!(places(&mut house, "m", 1), ["a.0", "b.0", "c.0", "a.0"]);
    // The least loaded ones first: `a` has two tasks, the others one.
    assert_eq!(places(&mut house, "other", 5), ["b.0", "c.0", "a.0", "b.0"]);
}

/// Verifies: ORCH-112, ORCH-123, ORCH-125
#[test]
fn a_waiting_task_can_be_asked_what_keeps_it() {
    let mut house = House::new();
    house.serve("a.0", &["m"], 1);
    house.serve("b.0", &["m"], 0);
    house.admit(offer(1));
    house.admit(pinned(2, "b"));
    house.admit(offer(3));
    let why = |house: &House, number| {
        let explanation = house.scheduler.explain(id(number)).expect("it waits");
        assert_eq!(explanation.snapshot_version, house.scheduler.snapshot().version());
        let reasons: Vec<String> = explanation
            .candidates
            .iter()
            .map(|one| one.failed.names().collect::<Vec<_>>().join("+"))
            .collect();
        (explanation.verdict, reasons.join(" "))
    };
    let none = |reason| Verdict::NoCapacity { reason };
    assert_eq!(
        why(&house, 2),
        (
            none(NoCapacity::NotReady),
            "NO_FREE_SLOT+PIN_MISMATCH POOL_NOT_READY+NO_FREE_SLOT".to_owned()
        )
    );
    assert_eq!(
        why(&house, 3),
        (none(NoCapacity::Busy), "NO_FREE_SLOT POOL_NOT_READY+NO_FREE_SLOT".to_owned())
    );
    assert!(house.scheduler.explain(id(1)).is_none(), "it runs");
    let before = house.scheduler.snapshot().version();
    house.serve("b.0", &["m"], 1);
    assert!(house.scheduler.snapshot().version() > before);
}

#[test]
fn a_pool_that_is_gone_is_no_candidate() {
    let mut house = House::new();
    house.serve("a.0", &["m"], 1);
    house.serve("b.0", &["m"], 1);
    house.admit(pinned(1, "b"));
    house.step(Event::ReplicaGone { replica: replica_id("b.0") });
    house.admit(pinned(2, "b"));
    assert_eq!(house.scheduler.explain(id(2)).expect("it waits").candidates.len(), 1);
    // Its slot is still taken when it comes back.
    assert_eq!(started(&house.serve("b.0", &["m"], 1)), []);
    assert_eq!(started(&house.finish(1, 1)), at(2, "b.0"));
}

/// Verifies: ORCH-125
#[test]
fn replicas_before_one_server_never_use_more_slots_than_it_has() {
    let mut house = House::new();
    let announce = |house: &mut House, name: &str, slots: u32, server: Option<&str>| {
        let replica = Replica::new(replica_id(name), &[model("m")], slots);
        house.step(Event::ReplicaChanged(Replica { server: server.map(Arc::from), ..replica }))
    };
    announce(&mut house, "pool.0", 3, Some("here"));
    for number in 1..=3 {
        assert_eq!(starts(&house.admit(offer(number))).len(), 1);
    }
    // Its successor has four slots, of which three are taken; the former one gets no more.
    announce(&mut house, "pool.0", 0, Some("here"));
    announce(&mut house, "pool.1", 4, Some("here"));
    assert_eq!(house.scheduler.free_slots(&replica_id("pool.1")), 1);
    let started: Vec<_> = (4..=6).flat_map(|number| starts(&house.admit(offer(number)))).collect();
    assert_eq!(started, [(4, "pool.1".to_owned(), 4)]);
    let why = house.scheduler.explain(id(5)).unwrap();
    assert_eq!(why.verdict, Verdict::NoCapacity { reason: NoCapacity::Busy });
    // What becomes free of either is the successor's, also once the former one is gone.
    assert_eq!(starts(&house.finish(1, 1)), [(5, "pool.1".to_owned(), 5)]);
    house.step(Event::ReplicaGone { replica: replica_id("pool.0") });
    assert_eq!(starts(&house.finish(2, 2)), [(6, "pool.1".to_owned(), 6)]);
    assert_eq!(starts(&house.admit(offer(7))), []);
    house.finish(3, 3);
    assert_eq!(house.scheduler.free_slots(&replica_id("pool.1")), 0);
    // One before another server is not its concern.
    announce(&mut house, "pool.2", 2, Some("there"));
    assert_eq!(house.scheduler.free_slots(&replica_id("pool.2")), 2);
    announce(&mut house, "pool.2", 2, Some("here"));
    assert_eq!(house.scheduler.free_slots(&replica_id("pool.2")), 0);
    announce(&mut house, "pool.2", 2, None);
    assert_eq!(house.scheduler.free_slots(&replica_id("pool.2")), 2);
}

/// Verifies: ORCH-048
#[test]
fn a_start_behind_a_former_self_waits_for_what_that_one_runs() {
    let mut house = House::new();
    let server = Some(Arc::from("here"));
    let announce = |house: &mut House, name: &str, slots: u32| {
        let replica = Replica::new(replica_id(name), &[model("m")], slots);
        house.step(Event::ReplicaChanged(Replica { server: server.clone(), ..replica }));
    };
    let sample =
        ServiceSample { prompt_tokens: 1, prefill_ms: 100, answer_tokens: 9, decode_ms: 900 };
    for _ in 0..3 {
        house.step(Event::Measured { model: model("m"), sample });
    }
    announce(&mut house, "pool.0", 1);
    house.admit(offer(1));
    announce(&mut house, "pool.0", 0);
    announce(&mut house, "pool.1", 1);
    house.admit(offer(2));
    assert_eq!(house.scheduler.forecast(id(2), 400).unwrap().start_ms, 600);
}
