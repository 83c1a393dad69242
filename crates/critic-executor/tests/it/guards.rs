use std::convert::Infallible;
use std::sync::Arc;

use critic_executor::{
    CancelReason, CriticSpec, Executor, Finding, GuardError, GuardRun, RunCanceller, RunInput,
    RunOptions, Stage, guard,
};
use tokio::time::{Instant, sleep};

use crate::support::{Gauge, clean, found, gauged, hanging, ms, plan, settled};

fn blocking(millis: u64) -> CriticSpec {
    found("block", millis, Finding::new(0.95))
}

async fn answer(gauge: Arc<Gauge>, millis: u64) -> Result<&'static str, Infallible> {
    let _inside = gauge.enter();
    sleep(ms(millis)).await;
    Ok("answer")
}

fn input() -> RunInput {
    RunInput::new("question")
}

/// Verifies: CRIT-235
#[tokio::test(start_paused = true)]
async fn before_makes_the_call_only_if_the_critics_do_not_block() {
    let (executor, calls) = (Executor::default(), Arc::new(Gauge::default()));
    let call = || answer(Arc::clone(&calls), 10);
    let blocked = plan([blocking(5)]);
    let result = guard(GuardRun::before(&executor, &blocked, input()), call()).await;
    assert!(matches!(result, Err(GuardError::Blocked(_))), "{result:?}");
    assert_eq!(calls.calls.load(std::sync::atomic::Ordering::SeqCst), 0);

    let allowed = plan([clean("fine", 5)]);
    let started = Instant::now();
    let result = guard(GuardRun::before(&executor, &allowed, input()), call()).await.unwrap();
    assert_eq!((result.output, started.elapsed()), ("answer", ms(15)));
    settled(&executor).await;
}

/// Verifies: CRIT-235
#[tokio::test(start_paused = true)]
async fn alongside_neither_side_is_released_without_the_other() {
    let (executor, calls) = (Executor::default(), Arc::new(Gauge::default()));
    let call = |millis| answer(Arc::clone(&calls), millis);
    let allowed = plan([clean("fine", 30)]);
    for (millis, total) in [(10, 30), (50, 50)] {
        let started = Instant::now();
        let run = GuardRun::alongside(&executor, &allowed, input());
        assert_eq!(guard(run, call(millis)).await.unwrap().output, "answer");
        assert_eq!(started.elapsed(), ms(total));
    }

    let blocked = plan([blocking(30)]);
    for (millis, total) in [(10, 30), (50, 50), (10_000, 130)] {
        let started = Instant::now();
        let run = GuardRun::alongside(&executor, &blocked, input());
        let result = guard(run, call(millis)).await;
        assert!(matches!(result, Err(GuardError::Blocked(_))), "{result:?}");
        assert_eq!(started.elapsed(), ms(total), "a blocked call has the grace to end");
        assert_eq!(calls.now(), 0, "the call is gone");
    }

    let doubtful = plan([found("doubt", 1, Finding::new(0.7))]);
    let result = guard(GuardRun::alongside(&executor, &doubtful, input()), call(5)).await;
    assert!(matches!(result, Err(GuardError::Escalated { output: "answer", .. })), "{result:?}");
    settled(&executor).await;
}

/// Verifies: CRIT-235
#[tokio::test(start_paused = true)]
async fn a_call_that_fails_or_panics_takes_its_critics_with_it() {
    let (executor, critics) = (Executor::default(), Arc::new(Gauge::default()));
    let slow = plan([gauged("slow", 10_000, &critics, Stage::FastCritics)]);
    let fails = async {
        sleep(ms(10)).await;
        Err::<(), _>("no model")
    };
    let started = Instant::now();
    let result = guard(GuardRun::alongside(&executor, &slow, input()), fails).await;
    assert!(matches!(result, Err(GuardError::Call("no model"))), "{result:?}");
    assert!(started.elapsed() <= ms(110), "{:?}", started.elapsed());

    async fn dies() -> Result<(), Infallible> {
        sleep(ms(10)).await;
        panic!("no weights")
    }
    let result = guard(GuardRun::alongside(&executor, &slow, input()), dies()).await;
    assert!(matches!(&result, Err(GuardError::CallPanicked(why)) if why == "no weights"));
    settled(&executor).await;
    assert_eq!((critics.now(), critics.peak()), (0, 1));
}

/// Verifies: CRIT-235
#[tokio::test(start_paused = true)]
async fn after_judges_the_output_before_anybody_has_it() {
    let executor = Executor::default();
    let rude = CriticSpec::new("rude", |ctx: critic_executor::CriticContext| async move {
        let severity = if ctx.output() == Some("fool") { 0.95 } else { 0.0 };
        Ok(Finding::new(severity).into())
    });
    let plan = plan([rude]);
    for (said, is_released) in [("fool", false), ("friend", true)] {
        let to_input = |said: &&str| RunInput::new("question").output(*said);
        let call = async { Ok::<_, Infallible>(said) };
        let result = guard(GuardRun::after(&executor, &plan, to_input), call).await;
        assert_eq!(result.is_ok(), is_released, "{result:?}");
    }
    let never = guard(
        GuardRun::after(&executor, &plan, |(): &()| unreachable!("nothing to judge")),
        async { Err::<(), _>("no model") },
    );
    assert!(matches!(never.await, Err(GuardError::Call("no model"))));
    settled(&executor).await;
}

/// Verifies: CRIT-235
#[tokio::test(start_paused = true)]
async fn cancelling_stops_both_sides_in_every_mode() {
    let executor = Executor::default();
    let (quick, endless) = (plan([clean("fine", 1)]), plan([hanging("endless")]));
    let reason = || CancelReason::User("the page was closed".into());
    let modes: [(&str, fn(_, _, _) -> _, _); 3] = [
        ("before", GuardRun::before, &quick),
        ("alongside", GuardRun::alongside, &endless),
        ("alongside", GuardRun::alongside, &quick),
    ];
    for (name, mode, plan) in modes {
        let (calls, canceller) = (Arc::new(Gauge::default()), RunCanceller::new());
        let run: GuardRun<'_, &str> = mode(&executor, plan, input());
        let run = run.options(RunOptions::new().canceller(&canceller));
        let token = run.call_token();
        let inside = Arc::clone(&calls);
        let call = async move {
            let _inside = inside.enter();
            token.cancelled().await;
            Err::<&str, _>("told to stop")
        };
        let cancel = async {
            sleep(ms(20)).await;
            canceller.cancel(reason());
        };
        let started = Instant::now();
        let (result, ()) = tokio::join!(guard(run, call), cancel);
        assert!(
            matches!(&result, Err(GuardError::Cancelled(why)) if *why == reason()),
            "{name}: {result:?}"
        );
        assert!(started.elapsed() <= ms(121), "{name}: {:?}", started.elapsed());
        assert_eq!((calls.now(), calls.peak()), (0, 1), "{name}");
    }
    settled(&executor).await;
}

/// Verifies: CRIT-235
#[tokio::test(start_paused = true)]
async fn dropping_the_guard_leaves_nothing_running() {
    let (executor, calls) = (Executor::default(), Arc::new(Gauge::default()));
    let endless = plan([hanging("endless")]);
    let run = GuardRun::alongside(&executor, &endless, input());
    let token = run.call_token();
    let guarded = guard(run, answer(Arc::clone(&calls), 10_000));
    assert!(tokio::time::timeout(ms(20), guarded).await.is_err());
    assert_eq!((calls.now(), calls.peak()), (0, 1));
    assert!(token.is_cancelled(), "what the call started elsewhere can hear of it");
    settled(&executor).await;
}
