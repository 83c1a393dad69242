use critics::{PatternError, RegexRule, RegexRules};

fn rule(pattern: &str) -> RegexRule {
    RegexRule { pattern: pattern.to_owned(), ignores_case: false, is_whole_word: false }
}

fn found(rules: &[RegexRule], text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    RegexRules::new(rules).unwrap().search(text, |one| {
        found.push((one.pattern, text[one.span].to_owned()));
        true
    });
    found
}

/// Verifies: CRIT-240
#[test]
fn every_expression_is_found_with_its_places() {
    let rules = [rule(r"sk-[a-z0-9]{8,}"), rule("never"), rule(r"\d+")];
    let expected = [(0, "sk-abcdefgh1"), (2, "1"), (2, "42")];
    let expected = expected.map(|(index, text)| (index, text.to_owned()));
    assert_eq!(found(&rules, "key sk-abcdefgh1 and 42"), expected);
}

/// Verifies: CRIT-240
#[test]
fn case_and_word_boundaries_are_options() {
    let whole = RegexRule { is_whole_word: true, ignores_case: true, ..rule("c(at|ow)s?") };
    let found = found(&[whole], "CATS concat Cow, cowboy straßecat");
    assert_eq!(found, [(0, "CATS".to_owned()), (0, "Cow".to_owned())]);
}

/// Verifies: CRIT-240
#[test]
fn a_wrong_or_huge_expression_is_refused_with_its_index() {
    let error = RegexRules::new(&[rule("ok"), rule("(")]).unwrap_err();
    assert!(matches!(error, PatternError::Regex { index: 1, .. }), "{error}");
    let error = RegexRules::new(&[rule(r"(\p{L}{1000}){100}")]).unwrap_err();
    assert!(matches!(error, PatternError::Regex { index: 0, .. }), "{error}");
}

/// Verifies: CRIT-240
#[test]
fn an_expression_made_to_backtrack_is_linear() {
    let text = "a".repeat(200_000);
    assert_eq!(found(&[rule("(a*)*b")], &text), []);
}
