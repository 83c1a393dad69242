use api_types::{ErrorCode, TaskState};

use crate::{
    engine::Engine,
    house::{House, prompt},
};

/// Verifies: ORCH-187
#[tokio::test]
async fn tasks_of_a_retired_model_end_when_their_time_is_over_and_say_why() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let running = house.submit(prompt("hello world")).await;
    house.engine(0).pass(2);
    house.shown(running, 3).await;
    let queued = house.submit(prompt("waits")).await;
    let model_id = house.row(running).await.spec.model_id.clone();
    let orchestrator = house.orchestrator();
    let live = orchestrator.live_tasks_of(&model_id);
    assert!(live.contains(&running) && live.contains(&queued) && live.len() == 2);
    assert_eq!(orchestrator.pools_of(&model_id).len(), 1);
    assert_eq!(orchestrator.end_tasks_of("sha256:another"), 0);
    assert_eq!(orchestrator.end_tasks_of(&model_id), 2);
    house.engine(0).open();
    for task in [running, queued] {
        let story = house.story(task).await;
        let row = house.row(task).await;
        assert_eq!(row.state, TaskState::Expired);
        let error = row.end.unwrap().error.unwrap();
        assert_eq!((error.code, error.retriable), (ErrorCode::ModelDeprecated, false));
        assert_eq!(story.end().data["code"], "MODEL_DEPRECATED");
    }
    house.idle().await;
    assert_eq!(house.engine(0).active(), 0, "the slot is free again");
    assert_eq!(house.orchestrator().live_tasks_of(&model_id), []);
    house.restart().await;
    assert_eq!(house.row(queued).await.state, TaskState::Expired, "durably");
}
