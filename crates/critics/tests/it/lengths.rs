use critic_executor::{Critic as _, ErrorKind, RunInput};
use critics::{LengthCritic, Subject, length};

use crate::finding::{codes, of};

async fn check(critic: LengthCritic, text: &str, expected: &[&str]) {
    let finding = of(&critic, RunInput::new(text)).await.unwrap();
    assert_eq!(codes(&finding), expected, "of {text:?}");
    assert_eq!(finding.severity > 0.0, !expected.is_empty());
}

/// Verifies: CRIT-242
#[tokio::test]
async fn each_unit_has_a_least_and_a_most() {
    check(length().max_bytes(2), "é", &[]).await;
    check(length().max_bytes(1), "é", &["length.bytes.max"]).await;
    check(length().min_bytes(3), "é", &["length.bytes.min"]).await;
    check(length().max_chars(1), "é", &[]).await;
    check(length().max_chars(1), "ée", &["length.chars.max"]).await;
    check(length().min_chars(1), "", &["length.chars.min"]).await;
    check(length().max_lines(2), "a\nb\n", &[]).await;
    check(length().max_lines(2), "a\r\nb\n\n", &["length.lines.max"]).await;
    check(length().min_lines(2), "a\n", &["length.lines.min"]).await;
    check(length().max_words(2), " two\twords\n", &[]).await;
    check(length().max_words(1), "two words", &["length.words.max"]).await;
    check(length().min_words(1), " \n", &["length.words.min"]).await;
    check(length().max_chars(1).min_words(3), "a b", &["length.chars.max", "length.words.min"])
        .await;
    check(length(), "anything", &[]).await;
}

/// Verifies: CRIT-242
#[tokio::test]
async fn it_looks_at_the_output_where_there_is_one_or_at_the_text_it_is_told() {
    let both = || RunInput::new("long input").output("out");
    let latest = of(&length().max_chars(3), both()).await.unwrap();
    assert_eq!(codes(&latest), [""; 0]);
    let input = of(&length().of(Subject::Input).max_chars(3), both()).await.unwrap();
    assert_eq!(codes(&input), ["length.chars.max"]);
    let error =
        of(&length().of(Subject::Output).max_chars(3), RunInput::new("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent, "a missing output is no short one");
}

#[test]
fn settings_differ_where_answers_may() {
    let settings = length().max_chars(3).settings();
    assert_eq!(settings, length().max_chars(3).settings());
    let others = [
        length().max_chars(4),
        length().min_chars(3),
        length().max_chars(3).severity(0.5),
        length().max_chars(3).of(Subject::Input),
    ];
    for other in others {
        assert_ne!(settings, other.settings());
    }
}
