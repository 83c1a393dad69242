use api_types::{
    Determinism, ErrorCode, MessageRequest, SamplingRequest, TaskRequest, TaskState, Workload,
};
use orchestrator::{
    Bucket, MemoryShortage, Options, PoolFacts, PoolState, RateLimits, Refusal, Submission,
};

use crate::{
    engine::{Act, Engine, answer},
    house::{House, keyed, prompt, remote, submission},
    model::{CONTEXT, TINY},
};

/// The refusal's body; and nothing of the submission is left.
async fn refused(house: &House, request: TaskRequest) -> api_types::ErrorBody {
    let before = house.rows().await;
    let refusal = house.try_submit(submission(request)).await.unwrap_err();
    assert_eq!(house.rows().await, before, "a refused submission left a task");
    let queued: u64 = house.orchestrator().standing().queue.iter().map(|of| of.interactive).sum();
    assert_eq!(queued, 0, "a refused submission left a place in the queue");
    refusal.body("corr")
}

/// Verifies: ORCH-021, ORCH-024, ORCH-053, ORCH-072, ORCH-073, ORCH-091
#[tokio::test]
async fn a_task_is_kept_runs_by_itself_and_ends_once() {
    let house = House::with([Engine::new("a")]).await;
    let request = TaskRequest { client_ref: Some("mine".to_owned()), ..prompt("hello world") };
    let accepted = house.try_submit(submission(request)).await.unwrap();
    assert!(!accepted.is_replay);
    assert_eq!(accepted.task.spec.client_ref.as_deref(), Some("mine"));
    let task = accepted.task.id;
    // Nobody listens, and it runs all the same.
    house.reaches(task, TaskState::Succeeded).await;
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.reason()), ("hello world", "stop"));
    assert_eq!(story.events[0].name, "started");
    assert_eq!(story.events[0].data["task_id"], task.to_string());
    assert_eq!(story.end().data["tokens_in"], 11);
    assert_eq!(story.end().data["tokens_out"], 6);
    house.idle().await;
}

/// Verifies: ORCH-091, ORCH-092
#[tokio::test]
async fn an_accepted_task_survives_a_kill_at_once() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt("hello")).await;
    house.restart().await;
    house.engine(0).open();
    assert_eq!(house.story(task).await.text(), "hello");
}

/// Verifies: ORCH-029
#[tokio::test]
async fn a_missing_answer_limit_is_the_models_default_cut_to_the_room_left() {
    let house = House::with([Engine::new("a").gated()]).await;
    let short = house.submit(prompt("hello")).await;
    assert_eq!(house.row(short).await.spec.max_tokens, 1024);
    // The pool's context is half of the model's.
    let long = house.submit(prompt(&"x".repeat(1500))).await;
    assert_eq!(house.row(long).await.spec.max_tokens, CONTEXT / 2 - 1500);
    let spec = house.row(long).await.spec;
    assert_eq!((spec.model_ref.as_str(), spec.model_id.as_str()), ("tiny", TINY));
    assert_eq!(spec.prompt_tokens, Some(1500));
}

/// Verifies: ORCH-022, ORCH-113
#[tokio::test]
async fn a_task_goes_only_where_tokens_are_drawn_by_the_profile_that_it_names() {
    let house = House::with([Engine::new("a"), Engine::new("b").profile("warm")]).await;
    let named = |profile: &str| {
        let sampler_profile_version = Some(profile.to_owned());
        TaskRequest { sampler_profile_version, ..prompt("hello") }
    };
    for _ in 0..3 {
        let task = house.submit(named("warm")).await;
        assert_eq!(house.story(task).await.text(), "hello");
        let attempt = house.row(task).await.progress.attempts[0].clone();
        assert_eq!((&*attempt.pool_id, &*attempt.sampler_profile), ("b", "warm"));
        let decision = attempt.decision.unwrap();
        assert_eq!(decision.candidates[0].reasons, ["VERSION_MISMATCH"]);
    }
    let body = refused(&house, named("hot")).await;
    let expected = (ErrorCode::InvalidParams, Some("sampler_profile_version"));
    assert_eq!((body.code, body.field.as_deref()), expected);
    assert!(body.message.contains("there are: warm"), "{}", body.message);
    house.announce(&Engine::new("b"), PoolState::Ready);
    let body = refused(&house, named("warm")).await;
    assert!(body.message.contains("leave it out"), "{}", body.message);
}

/// Verifies: ORCH-027
#[tokio::test]
async fn a_request_that_does_not_fit_the_context_is_told_the_three_numbers() {
    let house = House::with([Engine::new("a")]).await;
    let request = TaskRequest { max_tokens: Some(2048), ..prompt("four") };
    let body = refused(&house, request).await;
    assert_eq!(body.code, ErrorCode::ContextExceeded);
    let details = body.details.unwrap();
    assert_eq!(details["prompt_tokens"], 4);
    assert_eq!(details["max_tokens"], 2048);
    assert_eq!(details["ctx_max"], CONTEXT / 2);
    assert_eq!(refused(&house, prompt(&"x".repeat(2048))).await.code, ErrorCode::ContextExceeded);
}

/// Verifies: ORCH-027
#[tokio::test]
async fn an_engine_that_counts_itself_ends_the_task_where_it_does_not_fit() {
    let mut engine = Engine::new("there");
    engine.features.token_ids = false;
    engine.next([Act::TooLong]);
    let house = House::with([engine]).await;
    let task = house.submit(remote("hello")).await;
    assert_eq!(house.story(task).await.code(), "CONTEXT_EXCEEDED");
    assert_eq!(house.state(task).await, TaskState::Failed);
}

/// Verifies: ORCH-026
#[tokio::test]
async fn models_that_admit_nothing_say_why() {
    let house = House::with([Engine::new("a")]).await;
    let of = |model: &str| TaskRequest { model_ref: Some(model.to_owned()), ..prompt("hello") };
    assert_eq!(refused(&house, of("nonsense")).await.code, ErrorCode::ModelNotFound);
    assert_eq!(refused(&house, of("retired")).await.code, ErrorCode::ModelDeprecated);
    let incomplete = refused(&house, of("incomplete")).await;
    assert_eq!(incomplete.code, ErrorCode::ModelNotAvailable);
    assert!(incomplete.retriable && incomplete.message.contains("its file"));
    assert_eq!(refused(&house, of("unserved")).await.code, ErrorCode::ModelNotAvailable);
    house.announce(house.engine(0), PoolState::Failed);
    assert_eq!(refused(&house, of("tiny")).await.code, ErrorCode::PoolUnavailable);
}

/// Verifies: ORCH-026
#[tokio::test]
async fn a_model_that_no_pool_has_the_memory_for_is_told_with_both_numbers() {
    let house = House::with([Engine::new("a"), Engine::new("b")]).await;
    for engine in &house.engines {
        house.announce(engine, PoolState::Preloading);
    }
    let waiting = house.submit(prompt("hello")).await;
    let lacking = |index: usize, available_bytes: u64| {
        let shortage = Some(MemoryShortage { needed_bytes: 900, available_bytes });
        let facts = house.engine(index).facts(PoolState::Failed);
        house.orchestrator().put_pool(PoolFacts { shortage, ..facts });
    };
    lacking(0, 700);
    lacking(1, 800);
    // What waits for it is told, too.
    assert_eq!(house.story(waiting).await.code(), "MODEL_NOT_AVAILABLE");
    let body = refused(&house, prompt("hello")).await;
    assert_eq!((body.code, body.retriable), (ErrorCode::ModelNotAvailable, false));
    let details = body.details.unwrap();
    assert_eq!((&details["needed_bytes"], &details["available_bytes"]), (&900.into(), &800.into()));
    house.announce(house.engine(0), PoolState::Ready);
    let task = house.submit(prompt("hello")).await;
    assert_eq!(house.story(task).await.text(), "hello");
}

/// Verifies: ORCH-026
#[tokio::test]
async fn a_task_of_a_pool_that_is_not_ready_yet_waits_for_it() {
    for state in [PoolState::Provisioning, PoolState::Preloading, PoolState::Backoff] {
        let house = House::with([Engine::new("a")]).await;
        house.announce(house.engine(0), state);
        let task = house.submit(prompt("hello")).await;
        assert_eq!(house.state(task).await, TaskState::Queued);
        house.announce(house.engine(0), PoolState::Ready);
        assert_eq!(house.story(task).await.text(), "hello");
    }
}

/// Verifies: ORCH-026
#[tokio::test]
async fn a_queued_task_that_no_pool_can_serve_any_more_ends() {
    let house = House::with([Engine::new("a").slots(1).gated()]).await;
    let running = house.submit(prompt("first")).await;
    house.shown(running, 1).await;
    let queued = house.submit(prompt("second")).await;
    let facts = house.engine(0).facts(PoolState::Ready);
    house.orchestrator().put_pool(PoolFacts { models: Vec::new(), ..facts });
    assert_eq!(house.story(queued).await.code(), "MODEL_NOT_AVAILABLE");
    house.engine(0).open();
    assert_eq!(house.story(running).await.text(), "first");
}

/// Verifies: ORCH-023
#[tokio::test]
async fn sampling_that_no_pool_honours_is_refused_by_name() {
    let mut engine = Engine::new("a");
    engine.features.sampling.top_k = false;
    let house = House::with([engine]).await;
    let with = |top_k| TaskRequest {
        sampling: SamplingRequest { top_k: Some(top_k), ..SamplingRequest::default() },
        ..prompt("hello")
    };
    let body = refused(&house, with(40)).await;
    assert_eq!(body.code, ErrorCode::InvalidParams);
    assert_eq!(body.field.as_deref(), Some("sampling.top_k"));
    // Off asks nothing of an engine.
    let task = house.submit(with(0)).await;
    assert_eq!(house.story(task).await.text(), "hello");
}

/// Verifies: ORCH-023
#[tokio::test]
async fn a_task_goes_only_to_a_pool_that_honours_its_sampling() {
    let mut plain = Engine::new("a");
    plain.features.sampling.top_k = false;
    let house = House::with([plain, Engine::new("b")]).await;
    let sampling = SamplingRequest { top_k: Some(40), ..SamplingRequest::default() };
    for _ in 0..4 {
        let request = TaskRequest { sampling: sampling.clone(), ..prompt("hello") };
        let task = house.submit(request).await;
        assert_eq!(house.story(task).await.text(), "hello");
        let attempts = house.row(task).await.progress.attempts;
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].pool_id, "b");
    }
    assert_eq!(house.engine(0).seen().len(), 0, "an engine dropped a parameter");
}

/// Verifies: ORCH-023
#[tokio::test]
async fn a_strict_task_needs_a_strict_pool() {
    let strict = || TaskRequest { determinism: Determinism::Strict, ..prompt("hello") };
    let house = House::with([Engine::new("a")]).await;
    assert_eq!(refused(&house, strict()).await.field.as_deref(), Some("determinism"));
    let house = House::with([Engine::new("a"), Engine::new("b").strict()]).await;
    for _ in 0..3 {
        let task = house.submit(strict()).await;
        assert_eq!(house.story(task).await.text(), "hello");
    }
    assert_eq!(house.engine(0).seen().len(), 0);
}

/// Verifies: ORCH-022, ORCH-032
#[tokio::test]
async fn what_the_build_does_not_serve_is_refused_by_name() {
    let house = House::with([Engine::new("a")]).await;
    let embedding = TaskRequest {
        workload: Workload::Embedding,
        inputs: Some(vec!["hello".to_owned()]),
        ..TaskRequest::default()
    };
    assert_eq!(refused(&house, embedding).await.field.as_deref(), Some("workload"));
    assert_eq!(refused(&house, TaskRequest::default()).await.field.as_deref(), Some("prompt"));
    assert_eq!(refused(&house, prompt("")).await.field.as_deref(), Some("prompt"));
}

/// Verifies: ORCH-022, ORCH-027
#[tokio::test]
async fn a_conversation_is_rendered_once_before_it_needs_a_slot() {
    let house = House::with([Engine::new("a")]).await;
    let talk = |role: &str| TaskRequest {
        messages: Some(vec![MessageRequest::text(role, "hello")]),
        ..TaskRequest::default()
    };
    assert_eq!(refused(&house, talk("clown")).await.field.as_deref(), Some("messages"));
    let task = house.submit(talk("user")).await;
    assert_eq!(house.story(task).await.text(), "hello");
    assert_eq!(house.row(task).await.prompt_ids.unwrap().len(), 5);
}

/// Verifies: ORCH-037
#[tokio::test]
async fn the_first_check_that_fails_is_the_answer() {
    let options = orchestrator::Options {
        queue: orchestrator_core::Limits { model_capacity: 0, ..Default::default() },
        ..Default::default()
    };
    let mut options = options;
    options.rate_limits.prompt_tokens = bucket(1, 5);
    let house = House::with_options([Engine::new("a")], options).await;
    let code = async |request: TaskRequest| refused(&house, request).await.code;
    // Each request has this fault and all that follow.
    let all = TaskRequest {
        model_ref: Some("nonsense".to_owned()),
        max_tokens: Some(0),
        ..prompt("hello")
    };
    assert_eq!(code(all.clone()).await, ErrorCode::InvalidParams);
    let model = TaskRequest { max_tokens: Some(1_000_000), ..all };
    assert_eq!(code(model.clone()).await, ErrorCode::ModelNotFound);
    let context = TaskRequest { model_ref: None, ..model };
    assert_eq!(code(context.clone()).await, ErrorCode::ContextExceeded);
    let capacity = TaskRequest { max_tokens: None, ..context };
    assert_eq!(code(capacity.clone()).await, ErrorCode::AdmissionReject);
    // The former took all of the bucket; what takes it again is refused for that, before the full queue.
    assert_eq!(code(capacity.clone()).await, ErrorCode::RateLimited);
    limit_rates(&house, RateLimits::default());
    // A refusal binds no key.
    let refusal = house.try_submit(keyed("k", capacity)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::QueueFull { retry_after_ms: 1000, .. }));
    let other = house.try_submit(keyed("k", prompt("another"))).await.unwrap_err();
    assert!(matches!(other, Refusal::QueueFull { .. }), "{other}");
}

/// Verifies: ORCH-026
#[tokio::test]
async fn a_remote_model_is_rendered_by_its_engine() {
    let mut engine = Engine::new("there");
    engine.features.token_ids = false;
    engine.tells_ids = false;
    let house = House::with([engine]).await;
    let task = house.submit(TaskRequest { max_tokens: Some(2), ..remote("hello") }).await;
    let story = house.story(task).await;
    assert_eq!((story.text(), story.reason()), (answer("hello", 2), "length"));
    assert_eq!(story.end().data["tokens_in"], serde_json::Value::Null);
}

fn bucket(per_second: u32, burst: u32) -> Option<Bucket> {
    Some(Bucket { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() })
}

fn limit_rates(house: &House, rate_limits: RateLimits) {
    house.orchestrator().set_options(Options { rate_limits, ..house.options.clone() });
}

/// A submission of a client of this name.
fn of_client(name: &str, text: &str) -> Submission {
    Submission { identity: name.into(), ..submission(prompt(text)) }
}

/// Verifies: ORCH-034, ORCH-011
#[tokio::test]
async fn a_client_over_its_rate_waits_and_others_do_not() {
    let house = House::with([Engine::new("a")]).await;
    house.clock.freeze();
    let requests = bucket(1, 2);
    limit_rates(&house, RateLimits { requests, prompt_tokens: None });
    let submit = async |name: &str| house.try_submit(of_client(name, "hello")).await;
    for _ in 0..2 {
        submit("ann").await.unwrap();
    }
    let before = house.rows().await;
    let refusal = submit("ann").await.unwrap_err();
    let body = refusal.body("c");
    assert_eq!((body.code, body.retriable), (ErrorCode::RateLimited, true));
    assert_eq!(body.policy_label.as_deref(), Some("rate-limit"));
    let wait_ms = body.retry_after_ms.unwrap();
    assert_eq!(wait_ms, 1000);
    assert_eq!(house.rows().await, before, "a refused submission left a task");
    submit("bob").await.unwrap();
    house.clock.jump(wait_ms);
    submit("ann").await.unwrap();
    house.clock.jump(3_600_000);
    for _ in 0..2 {
        submit("ann").await.unwrap(); // the bucket holds no more than its burst
    }
    assert!(submit("ann").await.is_err());
}

/// Verifies: ORCH-034
#[tokio::test]
async fn prompts_are_counted_in_tokens_and_replays_are_not() {
    let house = House::with([Engine::new("a")]).await;
    house.clock.freeze();
    let prompt_tokens = bucket(1, 100);
    limit_rates(&house, RateLimits { requests: None, prompt_tokens });
    let keyed = |key: &str, bytes: usize| keyed(key, prompt(&"x".repeat(bytes)));
    house.try_submit(keyed("first", 90)).await.unwrap();
    let refusal = house.try_submit(keyed("second", 60)).await.unwrap_err();
    let Refusal::RateLimited { retry_after_ms } = refusal else { panic!("{refusal}") };
    assert_eq!(retry_after_ms, 50_000);
    assert!(house.try_submit(keyed("first", 90)).await.unwrap().is_replay);
    house.clock.jump(retry_after_ms);
    house.try_submit(keyed("second", 60)).await.unwrap();
    // A prompt beyond the burst waits for a full bucket, and not for ever.
    house.try_submit(keyed("third", 500)).await.unwrap_err();
    house.clock.jump(100_000);
    house.try_submit(keyed("third", 500)).await.unwrap();
}

/// Verifies: ORCH-244
#[tokio::test]
async fn a_task_runs_only_where_its_features_are() {
    let mut able = Engine::new("b");
    able.features.output.choices = true;
    let house = House::with([Engine::new("a"), able]).await;
    for _ in 0..4 {
        let request =
            TaskRequest { prompt: Some("hello".to_owned()), n: Some(2), ..TaskRequest::default() };
        let task = house.submit(request).await;
        house.story(task).await;
    }
    assert_eq!((house.engine(0).seen().len(), house.engine(1).seen().len()), (0, 4));
}

/// Verifies: ORCH-026
#[tokio::test]
async fn a_pool_that_was_never_reached_counts_as_a_server_of_the_models_that_it_shares() {
    let engine = |pool| {
        let mut engine = Engine::new(pool);
        engine.features.token_ids = false;
        engine
    };
    let house = House::with([engine("there"), engine("twin")]).await;
    // The pool that the model has its name of does not hold it any more; its twin may.
    let there = house.engine(0).facts(PoolState::Ready);
    house.orchestrator().put_pool(PoolFacts { models: Vec::new(), ..there });
    let twin = PoolFacts {
        models: Vec::new(),
        models_of: "there".into(),
        ..house.engine(1).facts(PoolState::Backoff)
    };
    house.orchestrator().put_pool(twin.clone());
    let task = house.submit(remote("hello")).await;
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(6)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    assert_eq!(house.state(task).await, TaskState::Queued, "nobody knows that it cannot be served");
    // Whose models are its own cannot hold that one.
    house.orchestrator().put_pool(PoolFacts { models_of: "twin".into(), ..twin.clone() });
    assert_eq!(house.story(task).await.code(), "MODEL_NOT_AVAILABLE");
    house.orchestrator().put_pool(twin);
    let task = house.submit(remote("hello")).await;
    house.orchestrator().put_pool(PoolFacts {
        models_of: "there".into(),
        ..house.engine(1).facts(PoolState::Ready)
    });
    assert_eq!(house.story(task).await.text(), "hello");
}
