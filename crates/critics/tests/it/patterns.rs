use critic_executor::{Critic as _, RunInput};
use critics::{Folding, PatternRule, Patterns, patterns};

use crate::finding::{codes, of};

async fn check(patterns: Patterns, text: &str, severity: f64, expected: &[&str]) {
    let finding = of(&patterns.build().unwrap(), RunInput::new(text)).await.unwrap();
    assert_eq!((codes(&finding), finding.severity), (expected.to_vec(), severity), "{text:?}");
}

fn some() -> Patterns {
    patterns()
        .keyword("launder", PatternRule::new("fraud", 0.7))
        .keyword("cash", PatternRule::new("money", 0.2).anywhere())
        .regex(r"sk-[a-z0-9]{6,}", PatternRule::new("key", 1.0).with_message("an API key"))
}

/// Verifies: CRIT-240
#[tokio::test]
async fn the_severity_is_that_of_the_worst_match() {
    check(some(), "nothing here", 0.0, &[]).await;
    check(some(), "cashew", 0.2, &["money"]).await;
    check(some(), "LAUNDER the cash", 0.7, &["fraud", "money"]).await;
    check(some(), "cash for sk-abc123", 1.0, &["money", "key"]).await;
    check(some(), "laundering", 0.0, &[]).await;
}

/// Verifies: CRIT-240
#[tokio::test]
async fn spans_are_those_of_the_original_text() {
    let text = "é ＬＡ\u{200b}ＵＮＤＥＲ it";
    let finding = of(&some().build().unwrap(), RunInput::new(text)).await.unwrap();
    let span = finding.violations[0].span.unwrap();
    assert_eq!(&text[span.start..span.end], "ＬＡ\u{200b}ＵＮＤＥＲ");
}

/// Verifies: CRIT-240
#[tokio::test]
async fn a_severe_match_behind_many_harmless_ones_is_told() {
    let text = format!("{} sk-abc123", "cash ".repeat(5000));
    let finding = of(&some().build().unwrap(), RunInput::new(text)).await.unwrap();
    assert_eq!(finding.violations.len(), 100);
    assert_eq!(finding.severity, 1.0);
    assert!(codes(&finding).contains(&"key"), "the list says why it is severe");
}

/// Verifies: CRIT-240
#[tokio::test]
async fn case_is_kept_where_the_folding_says_so() {
    let plain = some().folding(Folding::default());
    check(plain.clone(), "Launder SK-ABC123", 0.0, &[]).await;
    check(plain, "launder", 0.7, &["fraud"]).await;
    check(some(), "SK-ABC123", 1.0, &["key"]).await;
}

#[test]
fn settings_tell_pattern_sets_apart() {
    let (one, other) = (some().build().unwrap(), some().keyword("x", PatternRule::new("x", 0.1)));
    assert_eq!(one.settings(), some().build().unwrap().settings());
    assert_ne!(one.settings(), other.build().unwrap().settings());
}
