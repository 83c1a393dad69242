use narration::Masker;

/// Verifies: ORCH-268
#[test]
fn what_looks_secret_is_masked_and_the_rest_stays() {
    let masker = Masker::default();
    for (text, expected) in [
        ("Authorization: Bearer abc.DEF-123", "Authorization: Bearer ***"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic ***"),
        ("bearer \"abc\" is wrong", "bearer \"***\" is wrong"),
        ("invalid key sk-abcdef123456", "invalid key ***"),
        ("GET /x?api_key=hello&n=3", "GET /x?api_key=***&n=3"),
        (r#"{"token": "hello", "n": 1}"#, r#"{"token": "***", "n": 1}"#),
        ("password=hunter2, user=x", "password=***, user=x"),
        ("cannot reach http://user:pw@host:1/v1", "cannot reach http://***@host:1/v1"),
        ("http://token@a/ and http://b/c@d", "http://***@a/ and http://b/c@d"),
        ("max_tokens=5 and 7 tokens", "max_tokens=5 and 7 tokens"),
        ("the key is wrong", "the key is wrong"),
        ("sha256:0123456789abcdef", "sha256:0123456789abcdef"),
        ("", ""),
    ] {
        assert_eq!(masker.mask(text), expected);
    }
}

/// Verifies: ORCH-268
#[test]
fn secrets_that_it_was_told_of_are_masked_wherever_they_stand() {
    let masker = Masker::default();
    let other = masker.clone();
    other.register("correct horse battery");
    other.register("abc");
    assert_eq!(masker.mask("xcorrect horse batteryx abc"), "x***x abc");
    assert!(!format!("{masker:?}").contains("horse"));
}

#[test]
fn fields_named_for_a_secret_or_a_text_are_hidden() {
    let masker = Masker::default();
    for name in ["authorization", "api_key", "access_token", "prompt", "stop"] {
        assert!(masker.hides(name), "{name}");
    }
    for name in ["tokens_in", "tokens_out", "model", "key", "prompt_tokens"] {
        assert!(!masker.hides(name), "{name}");
    }
}

#[test]
fn long_text_is_cut() {
    let masked = Masker::default().mask(&"\u{e4}".repeat(1 << 20));
    assert!(masked.len() <= 8192 + '\u{2026}'.len_utf8());
    assert!(masked.ends_with('\u{2026}'));
}

proptest::proptest! {
    #[test]
    fn no_text_panics_or_shows_a_secret(before in ".{0,40}", behind in ".{0,40}") {
        let masker = Masker::default();
        masker.register("s3cret-value");
        let masked = masker.mask(&format!("{before}s3cret-value{behind}"));
        proptest::prop_assert!(!masked.contains("s3cret-value"));
    }
}
