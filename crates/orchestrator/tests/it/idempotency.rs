use std::{sync::Arc, time::Duration};

use api_types::{TaskRequest, TaskState};
use orchestrator::{Refusal, Submission};

use crate::{
    engine::{Act, Engine},
    faults::Kind,
    house::{House, keyed, prompt},
    reading::until,
};

/// Verifies: ORCH-025
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_posts_of_one_key_at_once_make_one_task() {
    let house = House::with([Engine::new("a")]).await;
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let orchestrator = Arc::clone(house.orchestrator());
        posts.spawn(async move { orchestrator.submit(keyed("k", prompt("hello"))).await.unwrap() });
    }
    let accepted = posts.join_all().await;
    assert_eq!(accepted.iter().filter(|accepted| !accepted.is_replay).count(), 1);
    assert!(accepted.iter().all(|other| other.task.id == accepted[0].task.id));
    assert_eq!(house.rows().await, 1);
}

/// Verifies: ORCH-025
#[tokio::test]
async fn a_key_stands_for_one_request_of_one_client_on_one_route() {
    let mut house = House::with([Engine::new("a")]).await;
    let first = house.try_submit(keyed("k", prompt("hello"))).await.unwrap().task.id;
    for round in ["before a restart", "after it"] {
        let again = house.try_submit(keyed("k", prompt("hello"))).await.unwrap();
        assert!(again.is_replay && again.task.id == first, "{round}");
        // The default, given by name.
        let named = TaskRequest { model_ref: Some("tiny".to_owned()), ..prompt("hello") };
        assert_eq!(house.try_submit(keyed("k", named)).await.unwrap().task.id, first, "{round}");
        let other = house.try_submit(keyed("k", prompt("other"))).await.unwrap_err();
        assert!(matches!(other, Refusal::IdempotencyMismatch), "{round}: {other}");
        house.restart().await;
    }
    let stranger = Submission { identity: "else".into(), ..keyed("k", prompt("hello")) };
    assert_ne!(house.try_submit(stranger).await.unwrap().task.id, first);
    let route = Submission { route: "/v1/other", ..keyed("k", prompt("hello")) };
    assert_ne!(house.try_submit(route).await.unwrap().task.id, first);
}

/// Verifies: ORCH-025
#[tokio::test]
async fn a_key_is_free_again_after_an_end_that_may_be_retried() {
    let house = House::with([Engine::new("a")]).await;
    house.engine(0).next([Act::PanicInSubmit, Act::Refuse]);
    let first = house.try_submit(keyed("k", prompt("hello"))).await.unwrap().task.id;
    assert_eq!(house.story(first).await.code(), "INTERNAL");
    let second = house.try_submit(keyed("k", prompt("hello"))).await.unwrap();
    assert!(!second.is_replay && second.task.id != first);
    assert_eq!(house.story(second.task.id).await.code(), "ENGINE_REFUSED");
    let third = house.try_submit(keyed("k", prompt("hello"))).await.unwrap();
    assert!(third.is_replay && third.task.id == second.task.id, "a refusal stays one");
}

/// Verifies: ORCH-025, ORCH-068
#[tokio::test]
async fn a_key_is_free_again_after_its_client_went_away_but_not_after_a_cancel() {
    let house = House::with([Engine::new("a").gated()]).await;
    let alone = TaskRequest { cancel_on_disconnect: true, ..prompt("hello") };
    let fleeting = || Submission { reattach_ms: Some(0), ..keyed("k", alone.clone()) };
    let first = house.try_submit(fleeting()).await.unwrap().task.id;
    drop(house.subscribe(first, 0).await);
    house.reaches(first, TaskState::Canceled).await;
    let second = house.try_submit(fleeting()).await.unwrap();
    assert!(!second.is_replay);
    house.orchestrator().cancel(second.task.id).await.unwrap();
    assert!(house.try_submit(fleeting()).await.unwrap().is_replay);
}

/// Verifies: ORCH-025, ORCH-092
#[tokio::test]
async fn a_retry_of_a_client_that_hung_up_during_admission_meets_its_task() {
    let house = House::with([Engine::new("a")]).await;
    house.faults.hold(Kind::Admitted);
    let mut post = Box::pin(house.orchestrator().submit(keyed("k", prompt("hello"))));
    tokio::select! {
        _ = post.as_mut() => panic!("admitted while commits are held"),
        () = until("the commit waits", || house.faults.waiting() == 1) => {}
    }
    drop(post); // the connection broke
    let release = async {
        // Time enough for the retry to come as far as it can.
        for _ in 0..200 {
            if house.faults.waiting() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        house.faults.release();
    };
    let (retry, ()) = tokio::join!(house.try_submit(keyed("k", prompt("hello"))), release);
    assert!(retry.unwrap().is_replay);
    assert_eq!(house.rows().await, 1);
}
