//! Who waits how long beside those who want everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use critic_executor::{CriticSpec, ExecutionPlan, Executor, ExecutorSettings, RunInput};
use tokio::task::JoinSet;

use crate::support::{clean, ms, plan, settled};

fn executor(limit: usize) -> Executor {
    Executor::new(ExecutorSettings {
        global_limit: Some(limit),
        queue_limit: None,
        run_timeout: None,
        ..ExecutorSettings::default()
    })
}

fn critics(name: &str, count: usize, millis: u64) -> Vec<CriticSpec> {
    (0..count).map(|index| clean(&format!("{name}-{index:05}"), millis)).collect()
}

/// How long a run of three needs that comes so much later than a run of 10,000.
async fn small_beside(
    huge: &ExecutionPlan,
    small: &ExecutionPlan,
    permits: usize,
    late: Duration,
) -> Duration {
    let executor = executor(permits);
    let small_run = async {
        tokio::time::sleep(late).await;
        executor.run(small, RunInput::new("x")).await.unwrap().elapsed()
    };
    tokio::select! {
        elapsed = small_run => elapsed,
        _ = executor.run(huge, RunInput::new("x")) => panic!("the huge run cannot be over"),
    }
}

/// Verifies: CRIT-088
#[tokio::test(start_paused = true)]
async fn a_huge_run_delays_a_small_one_by_one_turn_where_there_are_two_permits_for_each_of_it() {
    let small = plan(critics("small", 3, 10));
    let in_step = critics("huge", 10_000, 10);
    // Six others put the huge run out of step: its permits come back one by one.
    let mut out_of_step = in_step.clone();
    for (index, critic) in (0..).zip(&mut out_of_step[..6]) {
        *critic = clean(&critic.name, 10 + 2 * index);
    }
    for (critics, first_ms) in [(in_step, 0), (out_of_step, 3001)] {
        let huge = plan(critics);
        for late in [0, 9, 10].map(|late| first_ms + late) {
            for permits in [6, 9] {
                let elapsed = small_beside(&huge, &small, permits, ms(late)).await;
                assert!(elapsed <= ms(20), "{permits} permits, {late} ms late: {elapsed:?}");
            }
        }
    }
}

/// Verifies: CRIT-088
#[tokio::test(start_paused = true)]
async fn with_fewer_permits_a_small_run_gets_half_of_them_beside_a_huge_one() {
    let (small, huge) = (plan(critics("small", 3, 10)), plan(critics("huge", 10_000, 10)));
    for late in [0, 9] {
        for (permits, turns) in [(2, 4), (3, 4), (4, 3), (5, 3)] {
            let elapsed = small_beside(&huge, &small, permits, ms(late)).await;
            assert!(elapsed <= ms(10 * turns), "{permits} permits, {late}: {elapsed:?}");
        }
    }
}

/// Regression 28.
///
/// Verifies: CRIT-086
#[tokio::test(start_paused = true)]
async fn under_an_endless_stream_of_urgent_runs_the_least_urgent_one_waits_nine_intervals() {
    let executor = executor(1);
    let urgent = plan([clean("urgent", 10).priority(1)]);
    let patient = plan([clean("patient", 10).priority(10)]);
    let is_over = Arc::new(AtomicBool::new(false));
    let stream = {
        let (executor, is_over) = (executor.clone(), Arc::clone(&is_over));
        async move {
            let mut runs = JoinSet::new();
            // Two at once, so that there is always one who waits, then as many as there is room for.
            for number in 0.. {
                let (executor, urgent) = (executor.clone(), urgent.clone());
                runs.spawn(async move { executor.run(&urgent, RunInput::new("x")).await });
                if number > 0 {
                    tokio::time::sleep(ms(10)).await;
                }
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
            }
            while runs.join_next().await.is_some() {}
        }
    };
    let waiting = async {
        tokio::time::sleep(ms(5)).await;
        let report = executor.run(&patient, RunInput::new("x")).await.unwrap();
        is_over.store(true, Ordering::SeqCst);
        report.critics()[0].queue_time
    };
    let (queue_time, ()) = tokio::join!(waiting, stream);
    let nine_intervals = executor.settings().aging_interval * 9;
    // When it is as urgent as they, one older may wait and one be at work.
    assert!(queue_time <= nine_intervals + ms(20), "{queue_time:?}");
    assert!(
        queue_time > nine_intervals - ms(10),
        "it does not go before the urgent: {queue_time:?}"
    );
    settled(&executor).await;
}
