//! Outputs that break the rules.

use critic_executor::{
    CriticOutput, ExecutionPlan, Finding, OutputLimits, OutputProblem, RunInput, Status, Verdict,
    Violation,
};

use crate::support::{clean, found, run, violation};

fn errors(status: &Status) -> Vec<&str> {
    let Status::Invalid { errors } = status else { panic!("{status:?}") };
    errors.iter().map(|error| &*error.pointer).collect()
}

fn named(output: &CriticOutput, input: &RunInput) -> Vec<OutputProblem> {
    let mut problems = Vec::new();
    if !output.finding.violations.iter().any(|violation| violation.code == "named") {
        problems.push(OutputProblem::new("/finding/violations", "must have one named `named`"));
    }
    if input.input_text().len() > 100 {
        problems.push(OutputProblem::new("", "the text is too long to be judged"));
    }
    problems
}

/// Verifies: CRIT-190, CRIT-191
#[tokio::test(start_paused = true)]
async fn an_output_is_judged_before_its_critic_is_settled_and_all_that_is_wrong_is_told() {
    let wrong = Finding::new(1.5)
        .with_uncertainty(f64::NAN)
        .with_violation(Violation::new("", "").with_severity(-1.0));
    let plan = ExecutionPlan::builder()
        .critics([
            found("wrong", 1, wrong),
            clean("after", 1).requires(["wrong"]),
            clean("unnamed", 1).validators(["named", "never"]),
            found("right", 1, Finding::new(0.1).with_violation(Violation::new("named", "so")))
                .validators(["named"]),
        ])
        .validator("named", named)
        .validator("never", |_: &CriticOutput, _: &RunInput| {
            vec![OutputProblem::new("/data", "nothing is good enough")]
        })
        .build()
        .unwrap();
    let report = run(&plan).await;
    let of = |name: &str| report.critic(name).unwrap();
    let expected = [
        "/finding/severity",
        "/finding/uncertainty",
        "/finding/violations/0/code",
        "/finding/violations/0/message",
        "/finding/violations/0/severity",
    ];
    assert_eq!(errors(&of("wrong").status), expected);
    assert_eq!(errors(&of("unnamed").status), ["/finding/violations", "/data"]);
    assert!(of("wrong").finding().is_none() && of("unnamed").finding().is_none());
    assert_eq!(of("after").status.as_str(), "skipped", "an invalid output is no answer");
    assert!(of("right").status.is_answer());
    assert_eq!(report.decision().coverage.answered.len(), 1);
    assert_eq!(report.decision().verdict, Verdict::Escalate);
}

/// Verifies: CRIT-191
#[tokio::test(start_paused = true)]
async fn a_lenient_critic_answers_with_warnings_but_never_with_numbers_out_of_range() {
    let plan = ExecutionPlan::builder()
        .critics([
            found("lenient", 1, violation(0.3)).validators(["named"]).lenient(),
            found("impossible", 1, Finding::new(7.0)).lenient(),
        ])
        .validator("named", named)
        .build()
        .unwrap();
    let report = run(&plan).await;
    let lenient = report.critic("lenient").unwrap();
    assert!(lenient.status.is_answer());
    assert_eq!(lenient.warnings[0].pointer, "/finding/violations");
    assert_eq!(lenient.finding().unwrap().severity, 0.3);
    assert_eq!(errors(&report.critic("impossible").unwrap().status), ["/finding/severity"]);
}

/// Verifies: CRIT-157, CRIT-190
#[tokio::test(start_paused = true)]
async fn a_validator_that_panics_fails_its_critic_and_nobody_else() {
    let plan = ExecutionPlan::builder()
        .critics([clean("judged", 1).validators(["dies"]), clean("other", 2)])
        .validator("dies", |_: &CriticOutput, _: &RunInput| panic!("a validator may panic"))
        .build()
        .unwrap();
    let report = run(&plan).await;
    let Status::Failed { kind, message } = &report.critic("judged").unwrap().status else {
        panic!("a panic is a failure")
    };
    assert_eq!((kind.as_str(), message.contains("a validator may panic")), ("panic", true));
    assert!(report.critic("other").unwrap().status.is_answer());
}

/// Verifies: CRIT-192
#[tokio::test(start_paused = true)]
async fn outputs_above_the_plans_limits_are_invalid_even_for_the_lenient() {
    let many = || {
        (0..4)
            .fold(Finding::new(0.1), |finding, _| finding.with_violation(Violation::new("c", "m")))
    };
    let limits = OutputLimits { max_bytes: 4096, max_violations: 3 };
    let plan = ExecutionPlan::builder()
        .critics([found("many", 1, many()).lenient(), found("few", 1, violation(0.1))])
        .output_limits(limits)
        .build()
        .unwrap();
    let report = run(&plan).await;
    assert_eq!(errors(&report.critic("many").unwrap().status), ["/finding/violations"]);
    assert!(report.critic("few").unwrap().status.is_answer());
}

#[cfg(feature = "json-schema")]
mod schemas {
    use critic_executor::{CriticContext, CriticSpec, ExecutionPlan, PlanError};
    use serde_json::{Value, json};

    use super::{CriticOutput, errors, run};
    use crate::support::plan;

    fn with_data(name: &str, data: Value) -> CriticSpec {
        CriticSpec::new(name, move |_ctx: CriticContext| {
            let output = CriticOutput::clean().with_data(data.clone());
            async move { Ok(output) }
        })
    }

    fn schema() -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": { "data": {
                "type": "object",
                "required": ["language"],
                "properties": {
                    "language": { "type": "string", "maxLength": 2 },
                    "parts": { "prefixItems": [{ "const": 1 }], "items": { "type": "string" } },
                },
            } },
        })
    }

    /// Verifies: CRIT-190, CRIT-191
    #[tokio::test(start_paused = true)]
    async fn outputs_that_break_their_schema_are_invalid_with_pointers() {
        let wrong = json!({ "language": "english", "parts": [1, "two", 3] });
        let report = run(&plan([
            with_data("right", json!({ "language": "en", "parts": [1, "two"] })).schema(schema()),
            with_data("wrong", wrong.clone()).schema(schema()),
            with_data("empty", json!({})).schema(schema()),
            with_data("lenient", wrong).schema(schema()).lenient(),
        ]))
        .await;
        let of = |name: &str| report.critic(name).unwrap();
        assert!(of("right").status.is_answer());
        let mut pointers = errors(&of("wrong").status);
        pointers.sort_unstable();
        assert_eq!(pointers, ["/data/language", "/data/parts/2"]);
        assert_eq!(errors(&of("empty").status), ["/data"]);
        assert_eq!((of("lenient").status.is_answer(), of("lenient").warnings.len()), (true, 2));
    }

    /// Verifies: CRIT-190, CRIT-192
    #[test]
    fn a_schema_is_compiled_with_its_plan_and_refers_to_nothing_elsewhere() {
        let remote = json!({ "$ref": "https://example.org/schema.json" });
        let file = json!({ "$ref": "file:///etc/schema.json" });
        for bad in [json!({ "type": "nonsense" }), remote, file] {
            let built = ExecutionPlan::build([with_data("a", json!(1)).schema(bad.clone())]);
            let errors = built.expect_err("it does not compile").0;
            let is_told = |error: &PlanError| {
                matches!(error, PlanError::DoesNotCompile { what: "schema", .. })
            };
            assert!(errors.len() == 1 && is_told(&errors[0]), "{bad}: {errors:?}");
        }
    }
}
