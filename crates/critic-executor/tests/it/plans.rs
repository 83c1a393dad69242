use std::time::Duration;

use critic_executor::{
    BreakerPolicy, CriticContext, CriticOutput, CriticSpec, ExecutionPlan, FailureMode,
    MicroDollars, OnExhausted, PlanError, PlanWarning, Policy, RateLimit, RetryPolicy, Stage,
    TripRule, Verdict,
};

use crate::support::{clean, ms, plan};

fn errors_of(critics: impl IntoIterator<Item = CriticSpec>) -> Vec<PlanError> {
    ExecutionPlan::build(critics).expect_err("the plan is wrong").0
}

/// Verifies: CRIT-021, CRIT-022
#[test]
fn all_errors_are_reported_with_the_nearest_names() {
    let errors = errors_of([
        clean("alpha", 0).requires(["alpha", "betta", "late"]),
        clean("beta", 0).policy(Policy::OnViolation).evidence(["alhpa", "late", "beta"]),
        clean("beta", 1),
        clean("", 0),
        clean("late", 0).stage(Stage::Validation).validators(["nope"]),
    ]);
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    for expected in [
        "two critics are named `beta`; rename one",
        "a critic has an empty name",
        "`alpha` depends on itself",
        "`alpha` depends on `betta`, which is not in the plan; did you mean `beta`?",
        "`alpha` depends on `late`, which is in a later stage",
        "`beta` takes `alhpa` as evidence, which is not in the plan; did you mean `alpha`?",
        "`beta` takes `late` as evidence, which cannot have ended before it",
        "`beta` takes `beta` as evidence, which cannot have ended before it",
        "`late` names the validator `nope`, which is not registered",
    ] {
        assert!(texts.iter().any(|text| text == expected), "{expected} is not in {texts:#?}");
    }
    assert_eq!(texts.len(), 9);
}

/// Verifies: CRIT-023
#[test]
fn a_cycle_over_dependencies_and_evidence_is_named_the_same_way_every_time() {
    let critics = || {
        vec![
            clean("c", 0).requires(["a"]),
            clean("a", 0).policy(Policy::OnViolation).evidence(["b"]),
            clean("b", 0).after(["c"]),
            clean("d", 0).requires(["a"]),
        ]
    };
    let mut reversed = critics();
    reversed.reverse();
    for critics in [critics(), reversed] {
        let [PlanError::Cycle { path }] = &errors_of(critics)[..] else { panic!("one cycle") };
        assert_eq!(path.join(" → "), "a → b → c → a");
    }
}

/// Verifies: CRIT-024
#[test]
fn numbers_out_of_range_are_errors() {
    let zero = Duration::ZERO;
    let wrong: Vec<CriticSpec> = vec![
        clean("a", 0).priority(0),
        clean("b", 0).priority(11),
        clean("c", 0).rate_limit(RateLimit::per_second(0.0)),
        clean("d", 0).rate_limit(RateLimit::per_second(f64::NAN)),
        clean("e", 0).rate_limit(RateLimit::per_second(1.0).burst(0)),
        clean("f", 0).concurrency(0),
        clean("g", 0).attempt_timeout(zero),
        clean("h", 0).total_timeout(zero),
        clean("i", 0).queue_timeout(zero),
        clean("j", 0).retry(RetryPolicy::attempts(0)),
        clean("k", 0).retry(RetryPolicy { multiplier: 0.5, ..RetryPolicy::default() }),
        clean("l", 0).policy(Policy::OnUncertainty { uncertainty_from: 1.5 }).evidence(["a"]),
    ];
    let breaker = |change: fn(&mut BreakerPolicy)| {
        let mut policy = BreakerPolicy::default();
        change(&mut policy);
        clean("breaker", 0).breaker(policy)
    };
    let rate = |window, min_calls, ratio| TripRule::FailureRate { window, min_calls, ratio };
    let breakers = [
        breaker(|policy| policy.open = Duration::ZERO),
        breaker(|policy| policy.probes = 0),
        breaker(|policy| policy.successes = 0),
        breaker(|policy| policy.trip = TripRule::Consecutive(0)),
        clean("breaker", 0).breaker(BreakerPolicy { trip: rate(20, 0, 0.5), ..Default::default() }),
        clean("breaker", 0)
            .breaker(BreakerPolicy { trip: rate(20, 21, 0.5), ..Default::default() }),
        clean("breaker", 0)
            .breaker(BreakerPolicy { trip: rate(20, 10, 1.5), ..Default::default() }),
        clean("breaker", 0)
            .breaker(BreakerPolicy { trip: rate(20, 10, f64::NAN), ..Default::default() }),
    ];
    for wrong in breakers {
        let text = format!("{:?}", wrong.breaker);
        let errors = errors_of([wrong]);
        let is_told = |error: &PlanError| matches!(error, PlanError::InvalidSetting { setting, .. } if setting.starts_with("breaker."));
        assert!(errors.len() == 1 && errors.iter().all(is_told), "{text}: {errors:?}");
    }
    let count = wrong.len();
    let errors = ExecutionPlan::builder()
        .critics(wrong)
        .quorum(count + 1)
        .build()
        .expect_err("all are wrong")
        .0;
    let invalid = errors.iter().filter(|error| matches!(error, PlanError::InvalidSetting { .. }));
    assert_eq!(invalid.count(), count + 1, "{errors:#?}");
}

/// Verifies: CRIT-025
#[test]
fn a_chain_of_a_hundred_thousand_critics_builds_on_a_small_stack() {
    let build = || {
        let critics = (0..100_000_u32).map(|index| {
            let spec = CriticSpec::new(format!("{index}"), |_ctx: CriticContext| async {
                Ok(CriticOutput::clean())
            });
            if index == 0 { spec } else { spec.requires([format!("{}", index - 1)]) }
        });
        let plan = plan(critics);
        let order: Vec<_> = plan.topological_order().take(3).map(str::to_owned).collect();
        (plan.len(), order)
    };
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(build).unwrap();
    let (count, order) = thread.join().unwrap();
    assert_eq!((count, order), (100_000, vec!["0".to_owned(), "1".into(), "2".into()]));
}

/// Verifies: CRIT-028
#[test]
fn the_digest_ignores_the_order_of_insertion_and_sees_every_setting() {
    let a = || clean("a", 0);
    let b = || clean("b", 0).requires(["a"]);
    let digest = plan([a(), b()]).digest();
    assert_eq!(digest, plan([b(), a()]).digest());
    let others = [
        plan([a(), b().priority(4)]),
        plan([a(), b().stage(Stage::Validation)]),
        plan([a(), b().cost(MicroDollars(1))]),
        plan([a(), b().failure_mode(FailureMode::FailOpen)]),
        plan([a(), b().policy(Policy::OnViolation)]),
        plan([a(), b().attempt_timeout(ms(1))]),
        plan([a(), b().retry(RetryPolicy::attempts(2))]),
        plan([a(), clean("b", 0).after(["a"])]),
        ExecutionPlan::builder().critics([a(), b()]).early_stop(Verdict::Block).build().unwrap(),
        ExecutionPlan::builder().critics([a(), b()]).run_timeout(ms(5)).build().unwrap(),
        ExecutionPlan::builder()
            .critics([a(), b()])
            .barrier_after(Stage::CoreAnalysis, true)
            .build()
            .unwrap(),
    ];
    let mut digests: Vec<_> = others.iter().map(ExecutionPlan::digest).chain([digest]).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 12);
}

/// Verifies: CRIT-026
#[test]
fn suspect_settings_are_warnings() {
    let plan = ExecutionPlan::builder()
        .critic(clean("gate", 0).stage(Stage::PreValidation).policy(Policy::OnViolation))
        .critic(clean("long", 0).attempt_timeout(ms(200)).total_timeout(ms(100)))
        .critic(clean("retry", 0).total_timeout(ms(300)).retry(RetryPolicy::attempts(9)))
        .critic(
            clean("open", 0).priority(1).failure_mode(FailureMode::FailOpen).cost(MicroDollars(2)),
        )
        .budget(MicroDollars(1), OnExhausted::SkipCritic)
        .build()
        .unwrap();
    let warnings = plan.warnings();
    let is = |wanted: fn(&PlanWarning) -> bool| {
        warnings.iter().filter(|warning| wanted(warning)).count()
    };
    assert_eq!(is(|warning| matches!(warning, PlanWarning::NoEvidence { .. })), 1);
    assert_eq!(is(|warning| matches!(warning, PlanWarning::TimeoutNeverCounts { .. })), 1);
    assert_eq!(is(|warning| matches!(warning, PlanWarning::RetriesDoNotFit { .. })), 1);
    assert_eq!(is(|warning| matches!(warning, PlanWarning::UrgentFailsOpen { .. })), 1);
    assert_eq!(is(|warning| matches!(warning, PlanWarning::BudgetTooSmall)), 1);
    assert_eq!(warnings.len(), 5, "{warnings:?}");
}

/// Verifies: CRIT-061
#[test]
fn the_evidence_set_is_what_is_listed_or_all_earlier_stages_and_the_dependencies() {
    let plan = plan([
        clean("fast", 0).stage(Stage::FastCritics),
        clean("core", 0),
        clean("peer", 0),
        clean("gated", 0).policy(Policy::OnViolation).requires(["peer"]),
        clean("listed", 0).policy(Policy::OnViolation).evidence(["core"]),
        clean("always", 0).stage(Stage::Validation),
    ]);
    assert_eq!(plan.evidence_of("gated"), ["fast", "peer"]);
    assert_eq!(plan.evidence_of("listed"), ["core"]);
    assert!(plan.evidence_of("always").is_empty());
}
