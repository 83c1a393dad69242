use critic_executor::{MergedEdits, RunInput, TextTarget, Verdict, VerdictMap};
use critics::{PiiKind, pii};

use crate::finding::{codes, of};

/// Verifies: CRIT-241
#[tokio::test]
async fn what_is_found_is_redacted_on_request() {
    let text =
        "Ada <ada@example.org>, +44 20 7946 0018, 4111 1111 1111 1111, GB82 WEST 1234 5698 7654 32";
    let finding = of(&pii().redact(), RunInput::new(text)).await.unwrap();
    let edited = MergedEdits::merge(&finding.edits).apply(TextTarget::Input, text);
    assert_eq!(edited, "Ada <[email]>, [phone], [payment_card], [iban]");
    assert_eq!(finding.contribution(Some(&VerdictMap::default())), Verdict::AllowWithEdits);
}

/// Verifies: CRIT-241
#[tokio::test]
async fn without_redaction_it_escalates_and_keeps_no_copy_of_the_data() {
    let finding = of(&pii(), RunInput::new("q").output("ada@example.org")).await.unwrap();
    assert_eq!(codes(&finding), ["pii.email"]);
    assert_eq!(finding.contribution(Some(&VerdictMap::default())), Verdict::Escalate);
    assert!(finding.edits.is_empty());
    let evidence = &finding.evidence[0];
    assert!(evidence.personal && evidence.excerpt.is_none());
    assert_eq!(
        evidence.span.map(|span| (span.target, span.start, span.end)),
        Some((TextTarget::Output, 0, 15))
    );
    assert!(!serde_json::to_string(&finding).unwrap().contains("ada@"));
}

/// Verifies: CRIT-241
#[tokio::test]
async fn kinds_and_severity_are_the_callers() {
    let critic = pii().kinds([PiiKind::Phone]).severity(0.95);
    let finding = of(&critic, RunInput::new("ada@example.org +44 20 7946 0018")).await.unwrap();
    assert_eq!((codes(&finding), finding.severity), (vec!["pii.phone"], 0.95));
    let clean = of(&critic, RunInput::new("ada@example.org")).await.unwrap();
    assert_eq!(clean.severity, 0.0);
}

/// Verifies: CRIT-192
#[tokio::test]
async fn many_hits_are_all_redacted_but_not_all_listed() {
    let text = "a@b.org ".repeat(500);
    let finding = of(&pii().redact(), RunInput::new(text.as_str())).await.unwrap();
    assert_eq!((finding.violations.len(), finding.edits.len()), (100, 500));
}
