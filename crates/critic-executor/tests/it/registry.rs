use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use critic_executor::{
    CancelReason, CancellationRegistry, CleanupWhen, CriticContext, CriticOutput, CriticSpec,
    DuplicateId, ExecutionPlan, Executor, RunInput, RunOptions,
};
use tokio::time::{Instant, advance};

fn user(text: &str) -> CancelReason {
    CancelReason::User(text.into())
}

/// Verifies: CRIT-158
#[tokio::test(start_paused = true)]
async fn an_id_is_cancelled_from_elsewhere_and_the_first_reason_stays() {
    let registry = CancellationRegistry::new();
    let guard = registry.register("a").unwrap();
    let created = Instant::now();
    advance(Duration::from_secs(3)).await;
    assert!(!registry.is_cancelled("a") && guard.reason().is_none());
    assert!(registry.cancel("a", user("first")));
    assert!(!registry.cancel("a", user("second")));
    assert!(registry.is_cancelled("a") && guard.token().is_cancelled());
    assert_eq!(guard.reason(), Some(user("first")));
    let metadata = registry.metadata("a").unwrap();
    assert_eq!(metadata.created, created);
    assert_eq!(metadata.cancelled, Some((created + Duration::from_secs(3), user("first"))));
}

/// Verifies: CRIT-158
#[tokio::test]
async fn an_entry_goes_with_its_guard_and_an_id_in_use_is_refused() {
    let registry = CancellationRegistry::new();
    let guard = registry.register("a").unwrap();
    assert_eq!(registry.register("a").unwrap_err(), DuplicateId { id: "a".into() });
    assert_eq!((registry.len(), registry.ids().len()), (1, 1), "the refused one left nothing");
    drop(guard);
    assert!(registry.is_empty() && registry.metadata("a").is_none());
    assert!(!registry.cancel("a", user("late")) && !registry.is_cancelled("a"));
    registry.register("a").unwrap();
}

/// Verifies: CRIT-158
#[tokio::test]
async fn partial_results_are_there_while_it_runs_and_bounded() {
    let registry = CancellationRegistry::new();
    let guard = registry.register("a").unwrap();
    assert!(guard.put_partial("lines", 3) && guard.put_partial("words", 7));
    let results = registry.partial_results("a");
    let results: Vec<_> = results.iter().map(|(name, value)| (&**name, value.as_u64())).collect();
    assert_eq!(results, [("lines", Some(3)), ("words", Some(7))]);
    let taken = (0..2000).filter(|number| guard.put_partial("n", *number)).count();
    assert_eq!(taken, 998);
    drop(guard);
    assert!(registry.partial_results("a").is_empty());
}

/// Verifies: CRIT-153, CRIT-158
#[tokio::test(start_paused = true)]
async fn cleanups_run_once_last_registered_first_and_past_panics() {
    let registry = CancellationRegistry::new();
    for is_cancelled in [false, true] {
        let said: Arc<Mutex<Vec<&str>>> = Arc::default();
        let guard = registry.register("a").unwrap();
        let say = |what: &'static str| {
            let said = Arc::clone(&said);
            move || async move { said.lock().unwrap().push(what) }
        };
        assert!(registry.on_cleanup("a", CleanupWhen::Always, say("always")));
        assert!(registry.on_cleanup("a", CleanupWhen::OnCancel, say("on cancel")));
        assert!(registry.on_cleanup("a", CleanupWhen::Always, || async { panic!("on purpose") }));
        assert!(registry.on_cleanup("a", CleanupWhen::Always, say("last")));
        if is_cancelled {
            guard.cancel(user("stop"));
        }
        drop(guard);
        while registry.cleanups_running() > 0 {
            tokio::task::yield_now().await;
        }
        let expected: &[&str] =
            if is_cancelled { &["last", "on cancel", "always"] } else { &["last", "always"] };
        assert_eq!(*said.lock().unwrap(), expected);
    }
    assert!(!registry.on_cleanup("a", CleanupWhen::Always, || async {}), "nothing runs any more");
}

/// Verifies: CRIT-153
#[tokio::test(start_paused = true)]
async fn cleanups_have_their_time_together() {
    let registry = CancellationRegistry::new();
    let guard = registry.register("a").unwrap().with_cleanup_limit(Duration::from_millis(50));
    for _ in 0..3 {
        registry.on_cleanup("a", CleanupWhen::Always, std::future::pending);
    }
    let start = Instant::now();
    drop(guard);
    while registry.cleanups_running() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await; // virtual
    }
    assert!(start.elapsed() <= Duration::from_millis(52), "{:?}", start.elapsed());
}

#[test]
fn an_id_can_be_registered_outside_a_runtime() {
    let registry = CancellationRegistry::new();
    let guard = registry.register("a").unwrap();
    registry.on_cleanup("a", CleanupWhen::Always, || async {});
    drop(guard);
    assert!(registry.is_empty());
}

/// Verifies: CRIT-158, CRIT-152
#[tokio::test(start_paused = true)]
async fn a_run_is_cancelled_by_its_registered_id_and_takes_its_entry_along() {
    let registry = CancellationRegistry::new();
    let executor = Executor::builder().build();
    let slow = |_ctx: CriticContext| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(CriticOutput::clean())
    };
    let plan = ExecutionPlan::builder().critic(CriticSpec::new("slow", slow)).build().unwrap();
    let options = RunOptions::new().registered(registry.register("order 7").unwrap());
    let canceller = registry.clone();
    let cancelled = async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(canceller.cancel("order 7", user("enough")));
    };
    let (report, ()) =
        tokio::join!(executor.run_with(&plan, RunInput::new("x"), options), cancelled);
    let report = report.unwrap();
    assert_eq!((report.run_id(), report.cancelled()), ("order 7", Some(&user("enough"))));
    assert_eq!(report.elapsed(), Duration::from_millis(20));
    assert!(registry.is_empty());
    let guard = registry.register("order 8").unwrap();
    let token = guard.token();
    let run = executor.run_with(&plan, RunInput::new("x"), RunOptions::new().registered(guard));
    assert!(tokio::time::timeout(Duration::from_millis(5), run).await.is_err());
    assert!(registry.is_empty() && token.is_cancelled(), "a dropped run is a cancelled one");
}
