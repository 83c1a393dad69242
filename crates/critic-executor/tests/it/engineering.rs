//! Promises about the crate as a whole.

use std::process::Command;
use std::time::Duration;

use critic_executor::{
    BreakerPolicy, CriticError, Executor, ExecutorSettings, FailureMode, RateLimit, RetryPolicy,
    RunInput, RunOptions, RunTimeout,
};
use tokio::time::Instant;

use crate::support::{clean, failing, ms, plan};

/// The source of the crate without its unit tests and without comments, by file.
fn sources() -> Vec<(String, String)> {
    fn collect(folder: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            if name.ends_with("/tests") {
                continue;
            }
            if path.is_dir() {
                collect(&path, found);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                found.push((name, code.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    let mut found = Vec::new();
    collect(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 50, "{} files", found.len());
    found
}

fn assert_nowhere(words: &[&str]) {
    for (file, code) in sources() {
        for word in words {
            assert!(!code.contains(word), "{file} has {word}");
        }
    }
}

/// Verifies: CRIT-300
#[tokio::test(start_paused = true)]
async fn a_day_of_virtual_time_passes_in_exactly_that_and_the_same_way_again() {
    let spec = failing("flaky", 10, || CriticError::transient("no"))
        .retry(RetryPolicy { base: ms(60_000), ..RetryPolicy::attempts(4) })
        .no_attempt_timeout()
        .rate_limit(RateLimit::per_second(0.001))
        .breaker(BreakerPolicy { open: ms(7_200_000), ..BreakerPolicy::consecutive(3) });
    let plan = critic_executor::ExecutionPlan::builder().critic(spec).no_run_timeout();
    let plan = plan.build().unwrap();
    let mut days = Vec::new();
    for _ in 0..2 {
        let (executor, start) = (Executor::default(), Instant::now());
        let mut told = Vec::new();
        while start.elapsed() < Duration::from_secs(86_400) {
            let options = RunOptions::new().seed(3);
            let report = executor.run_with(&plan, RunInput::new("x"), options).await.unwrap();
            told.push((report.elapsed(), report.record().to_json()));
            tokio::time::sleep(ms(600_000)).await;
        }
        days.push((told, start.elapsed()));
    }
    assert!(days[0].0.len() > 10);
    assert_eq!(days[0], days[1], "nothing depends on the clock on the wall");
}

/// Verifies: CRIT-300
#[test]
fn no_file_asks_the_wall_clock_or_an_unseeded_source_of_random_numbers() {
    assert_nowhere(&["SystemTime", "std::time::Instant", "rand::", "RandomState", "getrandom"]);
}

/// Verifies: CRIT-301
#[test]
fn no_file_is_unsafe_unwraps_or_panics() {
    let lib = sources().into_iter().find(|(file, _)| file.ends_with("lib.rs")).unwrap().1;
    assert!(lib.contains("#![forbid(unsafe_code)]"));
    assert_nowhere(&[".unwrap()", "panic!(", "unreachable!(", "todo!(", "unimplemented!("]);
}

/// What the crate brings along by default, as cargo tells it.
fn default_dependencies() -> String {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let arguments = ["tree", "--offline", "--package", "critic-executor", "--edges", "normal"];
    let out = Command::new(cargo)
        .args(arguments)
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Verifies: CRIT-301
#[test]
fn default_features_bring_neither_network_nor_tls_nor_another_crate_of_this_project() {
    let tree = default_dependencies();
    let names: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"tokio") && names.len() > 10, "{tree}");
    for name in ["mio", "socket2", "hyper", "reqwest", "rustls", "ring", "native-tls", "openssl"] {
        assert!(!names.contains(&name), "{name} is among {names:?}");
    }
    // Crates of this project are the ones with a folder.
    let own: Vec<_> = tree.lines().filter(|line| line.contains("(/")).collect();
    assert!(own.iter().all(|line| line.starts_with("critic-executor ")), "{own:?}");
}

/// Verifies: CRIT-303
#[test]
fn the_crate_keeps_nothing_and_reaches_nobody() {
    let folders = ["std::fs", "tokio::fs", "std::net", "tokio::net", "std::env", "std::process"];
    assert_nowhere(&folders);
}

/// Verifies: CRIT-234
#[tokio::test(start_paused = true)]
async fn an_executor_that_was_told_nothing_is_bounded_everywhere() {
    let settings = ExecutorSettings::default();
    assert_eq!((settings.global_limit, settings.queue_limit), (Some(10), Some(1000)));
    assert_eq!((settings.run_queue_limit, settings.max_detached_blocking), (1000, 8));
    assert_eq!(settings.run_timeout, Some(Duration::from_secs(30)));
    assert_eq!((settings.grace, settings.cleanup_limit), (ms(100), ms(100)));
    assert_eq!(settings.aging_interval, ms(200));
    assert_eq!(clean("a", 1).failure_mode, FailureMode::FailClosed);

    let endless = plan([crate::support::hanging("a").no_attempt_timeout()]);
    assert_eq!(endless.run_timeout(), RunTimeout::Executor);
    let report = Executor::default().run(&endless, RunInput::new("x")).await.unwrap();
    assert_eq!(report.elapsed(), Duration::from_secs(30));
    // Ten at work and a thousand waiting; the rest is told so.
    let crowd = plan((0..1100).map(|index| clean(&format!("c-{index}"), 1)));
    let report = Executor::default().run(&crowd, RunInput::new("x")).await.unwrap();
    let coverage = &report.decision().coverage;
    assert_eq!((coverage.answered.len(), coverage.missing.len()), (1010, 90));
    assert_eq!(report.decision().verdict, critic_executor::Verdict::Escalate);
}
