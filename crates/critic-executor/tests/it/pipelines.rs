use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use critic_executor::{
    CancelReason, CancellationRegistry, CleanupWhen, CriticError, ExecutionHint, Node, NodeContext,
    NodeExecutor, NodeNotice, OrchestratorError, PipelineActivity, PipelineExecutor,
    PipelineProblem, PipelineSettings, PipelineTimeout, TimeoutScope,
};
use proptest::prelude::*;
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep},
};

const STRICT: PipelineSettings = PipelineSettings::pipeline_strict();

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Adds its number after a while.
fn add(name: &'static str, number: u64, after_ms: u64) -> Node<u64> {
    Node::new(name, move |value: u64, _ctx: NodeContext| async move {
        sleep(ms(after_ms)).await;
        Ok(value + number)
    })
}

fn failing(name: &'static str) -> Node<u64> {
    Node::new(name, |_value: u64, _ctx: NodeContext| async move { Err("broken".into()) })
}

fn pipeline(nodes: impl IntoIterator<Item = Node<u64>>) -> PipelineExecutor<u64> {
    PipelineExecutor::keeping_values(PipelineSettings::pipeline(), nodes).unwrap()
}

/// Waits, in virtual time, until nothing of the pipelines runs any more.
async fn quiet(pipeline: &PipelineExecutor<u64>) {
    for _ in 0..500 {
        if pipeline.activity() == PipelineActivity::default() {
            return;
        }
        sleep(ms(1)).await;
    }
    panic!("still at work: {:?}", pipeline.activity());
}

/// Verifies: CRIT-170
#[tokio::test(start_paused = true)]
async fn each_node_gets_what_the_one_before_it_gave() {
    let pipeline = pipeline([add("one", 1, 50), add("ten", 10, 20), add("hundred", 100, 0)]);
    let outcome = pipeline.run("p", 5).await.unwrap();
    assert_eq!((outcome.value, outcome.elapsed), (116, ms(70)));
    assert_eq!(outcome.completed, ["one".into(), "ten".into(), "hundred".into()]);
    assert!(outcome.failed.is_empty());
    quiet(&pipeline).await;
}

/// Verifies: CRIT-171
#[test]
fn the_presets_are_those_of_the_requirement() {
    let settings = PipelineSettings::pipeline();
    assert_eq!(settings.node_limit, ms(250));
    assert_eq!(settings.pipeline_limit, ms(500));
    assert_eq!(settings.grace, ms(100));
    assert!(settings.fail_fast);
    assert_eq!(settings.max_concurrent, 10);
    assert_eq!(STRICT, PipelineSettings { node_limit: ms(200), ..settings });
}

/// Verifies: CRIT-172, CRIT-124
#[tokio::test(start_paused = true)]
async fn a_node_that_ignores_its_token_is_settled_at_its_deadline() {
    let deaf = Node::new("deaf", |_value: u64, _ctx: NodeContext| std::future::pending());
    for hint in [ExecutionHint::Spawn, ExecutionHint::Inline] {
        let pipeline = PipelineExecutor::new(STRICT, [deaf.clone().hint(hint)]).unwrap();
        let start = Instant::now();
        let error = pipeline.run("p", 0).await.unwrap_err();
        assert_eq!(start.elapsed(), ms(200), "the grace is not the caller's");
        let OrchestratorError::Timeout(PipelineTimeout::Node { node, limit }) = error else {
            panic!("{error:?}");
        };
        assert_eq!((&*node, limit), ("deaf", ms(200)));
        quiet(&pipeline).await;
        assert!(start.elapsed() <= ms(305), "{:?}", start.elapsed());
    }
}

/// The pipeline's time is real here: a thread that sleeps cannot be made to believe otherwise.
///
/// Verifies: CRIT-172, CRIT-156
#[tokio::test]
async fn a_node_that_blocks_its_thread_holds_its_place_and_not_its_caller() {
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let stuck = Node::new("stuck", move |value: u64, _ctx: NodeContext| {
        let blocked = Arc::clone(&blocked);
        async move {
            let _released = blocked.lock().unwrap().recv();
            Ok(value)
        }
    });
    let settings = PipelineSettings { node_limit: ms(20), ..STRICT };
    let nodes = [stuck.hint(ExecutionHint::Blocking)];
    let pipeline = PipelineExecutor::new(settings, nodes).unwrap();
    // It returns although the thread does not.
    assert!(pipeline.run("p", 0).await.unwrap_err().is_timeout());
    assert_eq!(pipeline.activity().places, 1, "its place is taken until the thread returns");
    release.send(()).unwrap();
    while pipeline.activity() != PipelineActivity::default() {
        tokio::task::yield_now().await;
    }
}

/// Verifies: CRIT-170
#[tokio::test]
async fn a_blocking_node_gives_its_value() {
    let node = Node::new("blocking", |value: u64, _ctx: NodeContext| async move {
        tokio::task::yield_now().await;
        Ok(value * 2)
    });
    let executor =
        NodeExecutor::new(PipelineSettings { node_limit: Duration::from_secs(60), ..STRICT });
    assert_eq!(executor.run(&node.hint(ExecutionHint::Blocking), 21).await.unwrap(), 42);
}

/// Verifies: CRIT-173
#[tokio::test(start_paused = true)]
async fn the_first_failure_ends_a_fail_fast_pipeline() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ran);
    let last = Node::new("last", move |value: u64, _ctx: NodeContext| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { Ok(value) }
    });
    let pipeline = pipeline([add("one", 1, 0), failing("two"), last]);
    let error = pipeline.run("p", 0).await.unwrap_err();
    let OrchestratorError::Node { node, source } = &error else { panic!("{error:?}") };
    assert_eq!((&**node, source.to_string().as_str()), ("two", "broken"));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    assert!(!error.is_retryable() && !error.is_timeout());
}

/// Verifies: CRIT-173
#[tokio::test(start_paused = true)]
async fn without_fail_fast_the_next_node_gets_the_last_good_value() {
    let settings = PipelineSettings { fail_fast: false, ..PipelineSettings::pipeline() };
    let nodes = [
        add("one", 1, 0),
        failing("two"),
        add("slow", 1000, 400).limit(ms(100)),
        add("four", 4, 0),
    ];
    let pipeline = PipelineExecutor::keeping_values(settings, nodes).unwrap();
    let outcome = pipeline.run("p", 0).await.unwrap();
    assert_eq!(outcome.value, 5);
    assert_eq!(outcome.completed, ["one".into(), "four".into()]);
    let failed: Vec<_> =
        outcome.failed.iter().map(|(node, error)| (&**node, error.is_timeout())).collect();
    assert_eq!(failed, [("two", false), ("slow", true)]);
    quiet(&pipeline).await;
}

/// Verifies: CRIT-174, CRIT-123
#[tokio::test(start_paused = true)]
async fn a_pipelines_time_out_carries_what_was_done() {
    let pipeline = pipeline([add("one", 1, 200), add("two", 2, 200), add("three", 3, 200)]);
    let start = Instant::now();
    let error = pipeline.run("p", 0).await.unwrap_err();
    assert_eq!(start.elapsed(), ms(500));
    let OrchestratorError::Timeout(PipelineTimeout::Pipeline {
        pipeline: id,
        limit,
        completed,
        partial,
    }) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!((&**id, *limit), ("p", ms(500)));
    assert_eq!(*completed, ["one".into(), "two".into()]);
    assert_eq!(
        (partial.get::<u64>("one"), partial.last::<u64>(), partial.len()),
        (Some(&1), Some(&3), 2)
    );
    assert!(error.is_retryable());
    quiet(&pipeline).await;
    // Both deadlines at one instant: the wider one is named.
    let settings = PipelineSettings { node_limit: ms(500), ..PipelineSettings::pipeline() };
    let tie = PipelineExecutor::new(settings, [add("slow", 1, 900)]).unwrap();
    let error = tie.run("p", 0).await.unwrap_err();
    assert!(
        matches!(error, OrchestratorError::Timeout(PipelineTimeout::Pipeline { .. })),
        "{error:?}"
    );
}

/// Verifies: CRIT-174, CRIT-126
#[tokio::test(start_paused = true)]
async fn the_node_at_work_gets_its_token_and_is_dropped_after_the_grace() {
    let log: Arc<Mutex<Vec<(&str, Duration)>>> = Arc::default();
    let start = Instant::now();
    let node = |name: &'static str, ends_after_ms: u64| {
        let log = Arc::clone(&log);
        Node::new(name, move |value: u64, ctx: NodeContext| {
            let log = Arc::clone(&log);
            async move {
                ctx.cancellation().cancelled().await;
                log.lock().unwrap().push(("told", start.elapsed()));
                sleep(ms(ends_after_ms)).await;
                log.lock().unwrap().push(("ended", start.elapsed()));
                Ok(value)
            }
        })
    };
    let polite = PipelineExecutor::new(STRICT, [node("polite", 50)]).unwrap();
    assert!(polite.run("p", 0).await.unwrap_err().is_timeout());
    quiet(&polite).await;
    assert_eq!(*log.lock().unwrap(), [("told", ms(200)), ("ended", ms(250))]);
    log.lock().unwrap().clear();
    let rude = PipelineExecutor::new(STRICT, [node("rude", 150)]).unwrap();
    assert!(rude.run("p", 0).await.unwrap_err().is_timeout());
    quiet(&rude).await;
    assert_eq!(log.lock().unwrap().len(), 1, "dropped before it could end");
}

/// Verifies: CRIT-175
#[tokio::test(start_paused = true)]
async fn errors_say_what_they_are() {
    fn is_portable<T: std::error::Error + Send + Sync + 'static>() {}
    is_portable::<OrchestratorError>();
    let flaky = Node::new("flaky", |_value: u64, _ctx: NodeContext| async move {
        Err(CriticError::transient("lost").into())
    });
    let error = pipeline([flaky]).run("p", 0).await.unwrap_err();
    assert!(error.is_retryable() && !error.is_timeout() && !error.is_cancelled());
    let panicking =
        Node::new(
            "panicking",
            |_value: u64, _ctx: NodeContext| async move { panic!("on purpose") },
        );
    let error = pipeline([panicking.clone()]).run("p", 0).await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("on purpose"));
    let inline = pipeline([panicking.hint(ExecutionHint::Inline)]).run("p", 0).await;
    assert!(matches!(inline, Err(OrchestratorError::Node { .. })));
    let at_once = Node::new("at once", |_value: u64, _ctx: NodeContext| -> std::future::Ready<_> {
        panic!("before its future")
    });
    assert!(matches!(pipeline([at_once]).run("p", 0).await, Err(OrchestratorError::Node { .. })));
}

/// Verifies: CRIT-170
#[test]
fn a_pipeline_that_cannot_run_is_refused() {
    let settings = PipelineSettings::pipeline();
    let problem = |nodes: Vec<Node<u64>>, settings| {
        PipelineExecutor::keeping_values(settings, nodes).map(|_| ()).unwrap_err()
    };
    let duplicate = problem(vec![add("a", 1, 0), add("a", 1, 0)], settings);
    assert_eq!(duplicate, PipelineProblem::DuplicateNode { node: "a".into() });
    assert_eq!(problem(vec![add("", 1, 0)], settings), PipelineProblem::UnnamedNode { index: 0 });
    let zero = problem(vec![add("a", 1, 0).limit(Duration::ZERO)], settings);
    assert!(matches!(zero, PipelineProblem::Zero { .. }));
    let none = PipelineSettings { max_concurrent: 0, ..settings };
    assert!(matches!(problem(vec![], none), PipelineProblem::Zero { what: "max_concurrent" }));
    let careless = PipelineSettings { fail_fast: false, ..settings };
    let needs = PipelineExecutor::new(careless, [add("a", 1, 0)]).map(|_| ()).unwrap_err();
    assert_eq!(needs, PipelineProblem::NeedsValues);
}

/// Verifies: CRIT-158, CRIT-151
#[tokio::test(start_paused = true)]
async fn a_pipeline_is_cancelled_by_its_id() {
    let registry = CancellationRegistry::new();
    let pipeline = Arc::new(pipeline([add("slow", 1, 200)]).with_registry(registry.clone()));
    let running = Arc::clone(&pipeline);
    let mut runs = JoinSet::new();
    runs.spawn(async move { running.run("p", 0).await });
    sleep(ms(50)).await;
    let second = pipeline.run("p", 0).await.unwrap_err();
    assert!(matches!(second, OrchestratorError::Invalid(PipelineProblem::DuplicateId(_))));
    let start = Instant::now();
    assert!(registry.cancel("p", CancelReason::User("enough".into())));
    let error = runs.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let OrchestratorError::Cancelled { id, reason } = &error else { panic!("{error:?}") };
    assert_eq!((&**id, reason), ("p", &CancelReason::User("enough".into())));
    assert!(error.is_cancelled() && !error.is_retryable());
    quiet(&pipeline).await;
}

/// Verifies: CRIT-176
#[tokio::test(start_paused = true)]
async fn callbacks_follow_the_report_and_change_nothing() {
    let told: Arc<Mutex<Vec<(NodeNotice, Duration)>>> = Arc::default();
    let start = Instant::now();
    let tell = || {
        let told = Arc::clone(&told);
        move |notice: NodeNotice| {
            let told = Arc::clone(&told);
            async move {
                told.lock().unwrap().push((notice, start.elapsed()));
                Err("this changes nothing".into())
            }
        }
    };
    let notice = |timed_out| NodeNotice { pipeline: "p".into(), node: "slow".into(), timed_out };
    let slow = add("slow", 1, 900).on_timeout(tell()).on_cancel(tell());
    let pipeline = PipelineExecutor::new(STRICT, [slow.clone()]).unwrap();
    let error = pipeline.run("p", 0).await.unwrap_err();
    assert!(matches!(error, OrchestratorError::Timeout(PipelineTimeout::Node { .. })));
    assert!(told.lock().unwrap().is_empty(), "the caller comes first");
    quiet(&pipeline).await;
    assert_eq!(*told.lock().unwrap(), [(notice(Some(TimeoutScope::Attempt)), ms(200))]);
    told.lock().unwrap().clear();
    drop(tokio::time::timeout(ms(10), pipeline.run("p", 0)).await);
    quiet(&pipeline).await;
    assert_eq!(
        told.lock().unwrap().iter().map(|(notice, _)| notice.clone()).collect::<Vec<_>>(),
        [notice(None)]
    );
    let stuck = Node::new("stuck", |_value: u64, _ctx: NodeContext| std::future::pending())
        .on_timeout(|_notice| async { std::future::pending().await });
    let pipeline = PipelineExecutor::new(STRICT, [stuck]).unwrap();
    let start = Instant::now();
    assert!(pipeline.run("p", 0).await.unwrap_err().is_timeout());
    quiet(&pipeline).await;
    assert!(start.elapsed() <= ms(305), "a callback has the grace: {:?}", start.elapsed());
}

/// Verifies: CRIT-171
#[tokio::test(start_paused = true)]
async fn places_are_limited_and_so_are_those_who_wait() {
    let peak = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let node = {
        let (peak, now) = (Arc::clone(&peak), Arc::clone(&now));
        Node::new("busy", move |value: u64, _ctx: NodeContext| {
            let (peak, now) = (Arc::clone(&peak), Arc::clone(&now));
            async move {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(ms(100)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(value)
            }
        })
    };
    let settings = PipelineSettings { max_waiting: 15, ..PipelineSettings::pipeline() };
    let pipeline = PipelineExecutor::new(settings, [node]).unwrap();
    let runs = (0..30).map(|number| pipeline.run(format!("p{number}"), number));
    let ended = futures_util::future::join_all(runs).await;
    let rejected =
        ended.iter().filter(|end| matches!(end, Err(OrchestratorError::Rejected { .. })));
    assert_eq!(rejected.count(), 5);
    assert_eq!(ended.iter().filter(|end| end.is_ok()).count(), 25);
    assert_eq!(peak.load(Ordering::SeqCst), 10);
    quiet(&pipeline).await;
}

/// Verifies: CRIT-171
#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_spends_the_pipelines_time() {
    let settings =
        PipelineSettings { max_concurrent: 1, node_limit: ms(500), ..PipelineSettings::pipeline() };
    let pipeline = PipelineExecutor::keeping_values(settings, [add("slow", 1, 450)]).unwrap();
    let start = Instant::now();
    let (first, second) = tokio::join!(pipeline.run("a", 0), pipeline.run("b", 0));
    assert!(first.is_ok());
    let OrchestratorError::Timeout(PipelineTimeout::Pipeline { completed, .. }) =
        second.unwrap_err()
    else {
        panic!("the second runs out of its own 500 ms");
    };
    assert!(completed.is_empty());
    assert_eq!(start.elapsed(), ms(500));
    quiet(&pipeline).await;
}

/// Verifies: CRIT-153
#[tokio::test(start_paused = true)]
async fn what_a_node_registers_is_cleaned_up_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let node = Node::new("node", move |value: u64, ctx: NodeContext| {
        let count = |by: usize| {
            let counted = Arc::clone(&counted);
            move || async move {
                counted.fetch_add(by, Ordering::SeqCst);
            }
        };
        ctx.on_cleanup(CleanupWhen::Always, count(1));
        ctx.on_cleanup(CleanupWhen::OnCancel, count(10));
        async move {
            sleep(ms(value)).await;
            Ok(value)
        }
    });
    for (value, expected) in [(10, 1), (900, 11)] {
        for hint in [ExecutionHint::Spawn, ExecutionHint::Inline] {
            count.store(0, Ordering::SeqCst);
            let pipeline =
                PipelineExecutor::keeping_values(STRICT, [node.clone().hint(hint)]).unwrap();
            let _ended = pipeline.run("p", value).await;
            quiet(&pipeline).await;
            assert_eq!(count.load(Ordering::SeqCst), expected, "{hint:?} after {value} ms");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Verifies: CRIT-155
    #[test]
    fn nothing_is_left_of_pipelines_however_they_end(
        runs in prop::collection::vec((0..400_u64, 0..3_usize, any::<bool>(), 0..600_u64), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let node = |name: &'static str| {
                Node::new(name, |value: (u64, usize), ctx: NodeContext| async move {
                    match value.1 {
                        0 => sleep(ms(value.0)).await,
                        1 => {
                            ctx.cancellation().cancelled().await;
                            sleep(ms(value.0)).await;
                        }
                        _ => panic!("on purpose"),
                    }
                    Ok(value)
                })
            };
            let nodes = [node("spawned"), node("inline").hint(ExecutionHint::Inline)];
            let pipeline = Arc::new(PipelineExecutor::keeping_values(PipelineSettings::pipeline(), nodes).unwrap());
            let mut tasks = JoinSet::new();
            for (index, (after_ms, kind, drops, at_ms)) in runs.into_iter().enumerate() {
                let running = Arc::clone(&pipeline);
                let run = tasks.spawn(async move {
                    let _ended = running.run(format!("p{index}"), (after_ms, kind)).await;
                });
                let (registry, id) = (pipeline.registry().clone(), format!("p{index}"));
                tasks.spawn(async move {
                    sleep(ms(at_ms)).await;
                    if drops {
                        run.abort();
                    } else {
                        registry.cancel(&id, CancelReason::User("random".into()));
                    }
                });
            }
            advance(ms(600)).await;
            sleep(ms(1000)).await;
            assert_eq!(pipeline.activity(), PipelineActivity::default());
        });
    }
}
