use api_types::{Priority, TaskRequest, TaskState};
use orchestrator::{Options, Refusal, Submission};
use orchestrator_core::Limits;

use crate::{
    engine::Engine,
    house::{House, prompt, submission},
};

async fn narrow(capacity: u64) -> House {
    let queue = Limits { model_capacity: capacity, ..Limits::default() };
    let options = Options { queue, reject_backoff_ms: 77, ..Options::default() };
    House::with_options([Engine::new("a").slots(1).gated()], options).await
}

/// Verifies: ORCH-041, ORCH-066
#[tokio::test]
async fn a_full_queue_refuses_until_a_cancel_makes_room() {
    let house = narrow(2).await;
    let running = house.submit(prompt("first")).await;
    house.shown(running, 1).await;
    let second = house.submit(prompt("second")).await;
    let third = house.submit(prompt("third")).await;
    assert_eq!(house.position(second).await, Some(0));
    assert_eq!(house.position(third).await, Some(1));
    let refusal = house.try_submit(submission(prompt("fourth"))).await.unwrap_err();
    assert!(matches!(refusal, Refusal::QueueFull { retry_after_ms: 77, .. }), "{refusal}");
    let body = refusal.body("corr");
    assert_eq!((body.policy_label.as_deref(), body.retry_after_ms), (Some("reject"), Some(77)));
    house.orchestrator().cancel(second).await.unwrap();
    assert_eq!(house.position(third).await, Some(0));
    let fourth = house.submit(prompt("fourth")).await;
    assert_eq!(house.position(fourth).await, Some(1));
    house.engine(0).open();
    for (task, text) in [(running, "first"), (third, "third"), (fourth, "fourth")] {
        assert_eq!(house.story(task).await.text(), text);
    }
    assert_eq!(house.engine(0).seen().len(), 3, "a cancelled task reached the engine");
}

/// Verifies: ORCH-041, ORCH-284
#[tokio::test]
async fn a_model_s_own_capacity_holds_as_long_as_its_facts_say_so() {
    let house = narrow(8).await;
    let of_narrow = || TaskRequest { model_ref: Some("narrow".to_owned()), ..prompt("narrow") };
    let running = house.submit(of_narrow()).await;
    house.shown(running, 1).await;
    house.submit(of_narrow()).await;
    let refusal = house.try_submit(submission(of_narrow())).await.unwrap_err();
    assert!(matches!(refusal, Refusal::QueueFull { .. }), "{refusal}");
    let third = house.submit(prompt("as all models")).await;
    assert_eq!(house.position(third).await, Some(1));
}

/// Verifies: ORCH-041
#[tokio::test]
async fn batch_holds_its_share_and_interactive_tasks_go_first() {
    let house = narrow(4).await;
    let running = house.submit(prompt("first")).await;
    house.shown(running, 1).await;
    let batch = || TaskRequest { priority: Priority::Batch, ..prompt("batch") };
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(house.submit(batch()).await);
    }
    let refusal = house.try_submit(submission(batch())).await.unwrap_err();
    assert!(matches!(refusal, Refusal::QueueFull { .. }), "{refusal}");
    let interactive = house.submit(prompt("quick")).await;
    assert_eq!(house.position(interactive).await, Some(0));
    assert_eq!(house.position(tasks[0]).await, Some(1));
    house.engine(0).open();
    house.story(tasks[2]).await;
    let order: Vec<_> = house.faults.moves();
    let started = |task| order.iter().position(|moved| *moved == (task, TaskState::Running));
    assert!(started(interactive) < started(tasks[0]) && started(tasks[0]) < started(tasks[1]));
}

/// Verifies: ORCH-043, ORCH-046
#[tokio::test]
async fn clients_take_turns() {
    let house = narrow(100).await;
    let running = house.submit(prompt("first")).await;
    house.shown(running, 1).await;
    let of = |identity: &str| Submission { identity: identity.into(), ..submission(prompt("x")) };
    let mut many = Vec::new();
    for _ in 0..5 {
        many.push(house.try_submit(of("many")).await.unwrap().task.id);
    }
    let few = house.try_submit(of("few")).await.unwrap().task.id;
    assert_eq!(house.position(few).await, Some(1));
    house.engine(0).open();
    house.story(many[4]).await;
    let order = house.faults.moves();
    let started = |task| order.iter().position(|moved| *moved == (task, TaskState::Running));
    assert!(started(many[0]) < started(few) && started(few) < started(many[1]));
}
