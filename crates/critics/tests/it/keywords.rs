use critics::{Folding, Keyword, KeywordSet, PatternError};
use proptest::prelude::*;

fn found(keywords: &[(&str, bool)], folding: Folding, text: &str) -> Vec<(usize, String)> {
    let keywords: Vec<_> = keywords
        .iter()
        .map(|(text, is_whole_word)| Keyword {
            text: (*text).to_owned(),
            is_whole_word: *is_whole_word,
        })
        .collect();
    let set = KeywordSet::new(&keywords, folding).unwrap();
    let mut found = Vec::new();
    set.search(text, |one| {
        found.push((one.pattern, text[one.span].to_owned()));
        true
    });
    found
}

fn check(keyword: &str, is_whole_word: bool, folding: Folding, text: &str, expected: &[&str]) {
    let found = found(&[(keyword, is_whole_word)], folding, text);
    let found: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(found, expected, "{keyword:?} in {text:?}");
}

/// Verifies: CRIT-240
#[test]
fn case_is_looked_past_in_every_script_when_asked() {
    let case = Folding { case: true, ..Folding::default() };
    check("secret", false, case, "SECRET Secret", &["SECRET", "Secret"]);
    check("secret", false, Folding::default(), "SECRET secret", &["secret"]);
    check("ПАРОЛЬ", false, case, "мой пароль", &["пароль"]);
    check("ΟΔΟΣ", false, case, "η οδος", &["οδος"]);
    check("i̇stanbul", false, case, "İSTANBUL", &["İSTANBUL"]);
}

/// Verifies: CRIT-240
#[test]
fn words_that_are_split_by_invisible_characters_are_found() {
    let hidden = "pass\u{200b}wo\u{ad}rd";
    check("password", true, Folding::ALL, hidden, &[hidden]);
    check("password", true, Folding::default(), hidden, &[]);
    check("password", false, Folding::ALL, "ＰＡＳＳｗｏｒｄ", &["ＰＡＳＳｗｏｒｄ"]);
    check("pass\u{200b}word", false, Folding::ALL, "password", &["password"]);
}

/// Verifies: CRIT-240
#[test]
fn whole_words_are_no_parts_of_longer_ones() {
    let case = Folding { case: true, ..Folding::default() };
    check("ass", true, case, "assassin pass ass, (Ass)", &["ass", "Ass"]);
    check("ass", false, case, "pass", &["ass"]);
    check("c++", true, case, "c++ c++11 xc++", &["c++", "c++"]);
    check("über", true, case, "Übermut Über", &["Über"]);
    check("naïve", true, case, "unnaïve naïve_1 naïve", &["naïve"]);
}

/// Verifies: CRIT-240
#[test]
fn a_keyword_that_overlaps_another_is_found_as_well() {
    let keywords = [("foo bar", false), ("bar baz", false), ("bar", false)];
    let mut found = found(&keywords, Folding::default(), "foo bar baz");
    found.sort();
    let expected = [(0, "foo bar"), (1, "bar baz"), (2, "bar")];
    assert_eq!(found, expected.map(|(index, text)| (index, text.to_owned())));
}

/// Verifies: CRIT-240
#[test]
fn a_search_stops_when_it_is_told_to() {
    let keyword = Keyword { text: "a".to_owned(), is_whole_word: false };
    let set = KeywordSet::new(&[keyword], Folding::default()).unwrap();
    let mut count = 0;
    set.search(&"a".repeat(1000), |_| {
        count += 1;
        count < 3
    });
    assert_eq!(count, 3);
}

/// Verifies: CRIT-240
#[test]
fn an_invisible_keyword_is_refused() {
    let keywords =
        ["x", "\u{200b}"].map(|text| Keyword { text: text.to_owned(), is_whole_word: false });
    let error = KeywordSet::new(&keywords, Folding::ALL).unwrap_err();
    assert!(matches!(error, PatternError::EmptyKeyword { index: 1 }), "{error}");
}

proptest! {
    /// Verifies: CRIT-240
    #[test]
    fn without_folding_every_occurrence_is_found(
        text in "[abé]{0,40}",
        keyword in "[abé]{1,4}",
    ) {
        let found = found(&[(&keyword, false)], Folding::default(), &text);
        let naive = (0..text.len()).filter(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(&keyword)));
        prop_assert_eq!(found.len(), naive.count());
    }

    /// Verifies: CRIT-240
    #[test]
    fn what_is_found_in_a_folded_text_folds_to_the_keyword(
        text in "[aAßİΣς\u{200b}\u{ad}ａＡ ]{0,30}",
        keyword in "[aßs]{1,2}",
    ) {
        let set = KeywordSet::new(
            &[Keyword { text: keyword.clone(), is_whole_word: false }],
            Folding::ALL,
        ).unwrap();
        let mut spans = Vec::new();
        set.search(&text, |one| { spans.push(one.span); true });
        let wanted = Folding::ALL.fold(&keyword).text().to_owned();
        for span in spans {
            let part = text.get(span).expect("on character boundaries");
            prop_assert!(Folding::ALL.fold(part).text().contains(&wanted), "{part:?}");
        }
    }
}
