use critic_executor::{
    Critic, CriticContext, CriticError, CriticOutput, Edit, ErrorKind, Finding, MergedEdits,
    RunInput, TextTarget, Verdict, VerdictMap,
};
use proptest::prelude::*;

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Allow),
        Just(Verdict::AllowWithEdits),
        Just(Verdict::Escalate),
        Just(Verdict::Block)
    ]
}

/// Verifies: CRIT-043
#[test]
fn verdicts_are_ordered_from_allow_to_block() {
    use Verdict::{Allow, AllowWithEdits, Block, Escalate};
    assert!(Allow < AllowWithEdits && AllowWithEdits < Escalate && Escalate < Block);
}

proptest! {
    /// Verifies: CRIT-045
    #[test]
    fn the_join_is_associative_commutative_idempotent_and_never_lowers(
        a in verdicts(), b in verdicts(), c in verdicts(),
    ) {
        prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
        prop_assert_eq!(a.join(b), b.join(a));
        prop_assert_eq!(a.join(a), a);
        prop_assert_eq!(a.join(Verdict::Allow), a);
        prop_assert!(a.join(b) >= a);
    }

    /// Verifies: CRIT-044
    #[test]
    fn a_contribution_is_the_strictest_of_statement_severity_and_edits(
        stated in proptest::option::of(verdicts()), severity in 0.0..=1.0_f64, edits in 0..2_usize, off: bool,
    ) {
        let mut finding = Finding::new(severity);
        finding.verdict = stated;
        finding.edits = vec![Edit::redact(TextTarget::Input, 0..1); edits];
        let map = VerdictMap::default();
        let by_severity = match severity {
            _ if off => Verdict::Allow,
            s if s >= 0.9 => Verdict::Block,
            s if s >= 0.6 => Verdict::Escalate,
            _ => Verdict::Allow,
        };
        let by_edits = if edits > 0 { Verdict::AllowWithEdits } else { Verdict::Allow };
        let expected = stated.unwrap_or(Verdict::Allow).max(by_severity).max(by_edits);
        prop_assert_eq!(finding.contribution((!off).then_some(&map)), expected);
    }

    /// Verifies: CRIT-052
    #[test]
    fn redactions_merge_to_the_bytes_that_any_of_them_hides(
        ranges in proptest::collection::vec((0..40_usize, 1..10_usize), 0..12),
    ) {
        let edits: Vec<_> = ranges.iter().map(|(start, len)| Edit::redact(TextTarget::Input, *start..start + len)).collect();
        let merged = MergedEdits::merge(&edits);
        prop_assert!(!merged.conflict);
        let hidden = |edits: &[Edit]| (0..50).map(|at| edits.iter().any(|e| e.start <= at && at < e.end)).collect::<Vec<_>>();
        prop_assert_eq!(hidden(&merged.edits), hidden(&edits));
        prop_assert!(merged.edits.windows(2).all(|pair| pair[0].end <= pair[1].start));
        prop_assert_eq!(&MergedEdits::merge(&merged.edits).edits, &merged.edits);
    }
}

/// Verifies: CRIT-044
#[test]
fn the_default_map_blocks_from_nine_tenths_and_escalates_from_six() {
    let map = VerdictMap::default();
    let cases = [
        (0.0, Verdict::Allow),
        (0.599, Verdict::Allow),
        (0.6, Verdict::Escalate),
        (0.899, Verdict::Escalate),
    ];
    for (severity, verdict) in
        cases.into_iter().chain([(0.9, Verdict::Block), (1.0, Verdict::Block)])
    {
        assert_eq!(map.verdict(severity), verdict, "severity {severity}");
    }
}

/// Verifies: CRIT-052
#[test]
fn equal_edits_collapse_and_other_overlaps_conflict() {
    let edit = Edit::replace(TextTarget::Input, 2..5, "x");
    let merged = MergedEdits::merge([&edit, &edit]);
    assert_eq!(merged, MergedEdits { edits: vec![edit.clone()], conflict: false });

    for other in [
        Edit::replace(TextTarget::Input, 2..5, "y"),
        Edit::replace(TextTarget::Input, 4..6, "x"),
        Edit::redact(TextTarget::Input, 4..6),
        Edit::redact(TextTarget::Input, 0..9),
    ] {
        let merged = MergedEdits::merge([&edit, &other]);
        assert!(merged.conflict && merged.edits.is_empty(), "{other:?}");
    }
    let elsewhere = Edit::replace(TextTarget::Output, 2..5, "y");
    let after = Edit::replace(TextTarget::Input, 5..6, "y");
    assert!(!MergedEdits::merge([&edit, &elsewhere, &after]).conflict);
}

/// Verifies: CRIT-052
#[test]
fn merged_edits_apply_to_the_text_they_are_for() {
    let edits = [
        Edit::redact_as(TextTarget::Input, 8..12, "[b]"),
        Edit::redact_as(TextTarget::Input, 6..10, "[a]"),
        Edit::replace(TextTarget::Input, 0..1, "J"),
    ];
    let merged = MergedEdits::merge(&edits);
    assert_eq!(merged.apply(TextTarget::Input, "jelly bean soup"), "Jelly [b]oup");
    assert_eq!(merged.apply(TextTarget::Output, "jelly"), "jelly");
}

/// Verifies: CRIT-010
#[test]
fn the_question_mark_makes_common_errors_permanent_and_keeps_their_source() {
    fn all(which: u8) -> Result<(), CriticError> {
        match which {
            0 => drop("x".parse::<i32>()?),
            1 => drop("x".parse::<f64>()?),
            2 => drop(serde_json::from_str::<bool>("x")?),
            3 => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))?,
            4 => Err(Box::<dyn std::error::Error + Send + Sync>::from("boxed"))?,
            _ => drop(String::from_utf8(vec![0xff])?),
        }
        Ok(())
    }
    for which in 0..6 {
        let error = all(which).expect_err("each of these fails");
        assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}

/// Verifies: CRIT-001, CRIT-002
#[tokio::test(start_paused = true)]
async fn closures_are_critics_and_see_what_their_context_gives() {
    let critic: Box<dyn Critic> = Box::new(|ctx: CriticContext| async move {
        let known = ctx.dependency("language").map_or(0.0, |output| output.finding.severity);
        assert_eq!(ctx.attempt(), 2);
        assert_eq!(ctx.remaining(), ctx.deadline() - tokio::time::Instant::now());
        assert!(!ctx.cancellation().is_cancelled());
        Ok::<CriticOutput, CriticError>(Finding::new(known).into())
    });
    let ctx = CriticContext::standalone(RunInput::new("in").output("out"))
        .with_dependency("language", Finding::new(0.25).into())
        .with_attempt(2)
        .with_remaining(std::time::Duration::from_secs(3));
    assert_eq!((ctx.input(), ctx.output(), ctx.run_id()), ("in", Some("out"), "standalone"));
    assert_eq!(ctx.remaining(), std::time::Duration::from_secs(3));
    assert_eq!(critic.evaluate(&ctx).await.unwrap().finding.severity, 0.25);
}

/// Verifies: CRIT-008
#[test]
fn inputs_with_equal_parts_have_equal_digests_and_others_do_not() {
    let base = || RunInput::new("a").context("x", 1).context("y", 2.5);
    assert_eq!(base().digest(), RunInput::new("a").context("y", 2.5).context("x", 1).digest());
    assert_eq!(base().digest(), base().trace_id("t").digest());
    for other in [base().output(""), base().context("x", 2), RunInput::new("ab").context("x", 1)] {
        assert_ne!(base().digest(), other.digest());
    }
}

/// Verifies: CRIT-042, CRIT-192
#[test]
fn problems_of_an_output_are_all_named_with_their_pointers() {
    use critic_executor::{Evidence, OutputLimits, Violation};
    let input = RunInput::new("häuser");
    let limits = OutputLimits::default();
    let pointers = |finding: Finding| {
        let problems = CriticOutput::from(finding).problems(&input, &limits);
        problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
    };
    let whole =
        Finding::new(1.0).with_uncertainty(0.0).with_edit(Edit::redact(TextTarget::Input, 0..3));
    assert!(pointers(whole).is_empty());
    for severity in [f64::NAN, f64::INFINITY, -0.1, 1.000_001] {
        assert_eq!(pointers(Finding::new(severity)), ["/finding/severity"]);
        assert_eq!(
            pointers(Finding::new(0.0).with_uncertainty(severity)),
            ["/finding/uncertainty"]
        );
    }
    let many = Finding::new(2.0)
        .with_violation(
            Violation::new("", "m").with_severity(3.0).with_span(TextTarget::Input, 3..99),
        )
        .with_evidence(Evidence::new("").with_span(TextTarget::Output, 0..1))
        .with_edit(Edit::redact(TextTarget::Input, 0..2));
    let expected = [
        "/finding/severity",
        "/finding/violations/0/code",
        "/finding/violations/0/severity",
        "/finding/violations/0/span",
        "/finding/evidence/0/kind",
        "/finding/evidence/0/span",
        "/finding/edits/0",
    ];
    assert_eq!(pointers(many), expected);

    let mut crowded = Finding::clean();
    crowded.violations = vec![Violation::new("c", "m"); 1001];
    assert_eq!(pointers(crowded), ["/finding/violations"]);
    let large = CriticOutput::clean().with_data("x".repeat(256 * 1024));
    assert_eq!(large.problems(&input, &limits).len(), 1);
}

/// Verifies: CRIT-153
#[tokio::test(start_paused = true)]
async fn cleanups_of_a_context_run_once_and_last_registered_first() {
    use critic_executor::CleanupWhen;
    use std::sync::{Arc, Mutex};
    let limit = std::time::Duration::from_millis(100);
    for (was_cancelled, expected) in [(true, vec!["c", "a"]), (false, vec!["a"])] {
        let ctx = CriticContext::standalone(RunInput::new(""));
        let ran = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let ran = Arc::clone(&ran);
            move || async move { ran.lock().unwrap().push(name) }
        };
        assert!(ctx.on_cleanup(CleanupWhen::Always, note("a")));
        ctx.on_cleanup(CleanupWhen::OnCancel, || async { panic!("contained") });
        ctx.on_cleanup(CleanupWhen::OnCancel, note("c"));
        assert_eq!(ctx.end_standalone(was_cancelled, limit).await, usize::from(was_cancelled));
        assert_eq!(*ran.lock().unwrap(), expected);
        assert_eq!(ctx.is_cancelled(), was_cancelled);
        assert!(!ctx.on_cleanup(CleanupWhen::Always, note("late")));
    }
}
