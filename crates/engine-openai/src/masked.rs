/// Longest text of an engine that is logged, in characters.
const LOGGED_CHARS_MAX: usize = 300;
/// Words of letters and digits from this length on are taken for secrets.
const SECRET_CHARS_MIN: usize = 24;
/// How the keys of well-known services begin.
const SECRET_PREFIXES: [&str; 5] = ["sk-", "sk_", "hf_", "gsk_", "xai-"];
const MASK: &str = "***";

/// The text of an engine as it may go to the log: one line, not long, without `secret` or what looks like
/// one.
pub(crate) fn masked(text: &str, secret: Option<&str>) -> String {
    let text = match secret {
        Some(secret) if !secret.is_empty() => text.replace(secret, MASK),
        _ => text.to_owned(),
    };
    let mut masked = String::new();
    let mut is_after_bearer = false;
    for word in text.split_inclusive(|c: char| !is_of_a_word(c)) {
        let core = word.trim_end_matches(|c: char| !is_of_a_word(c));
        if looks_secret(core) || (is_after_bearer && !core.is_empty()) {
            masked.push_str(MASK);
        } else {
            masked.push_str(core);
        }
        masked.extend(word[core.len()..].chars().map(|c| if c.is_control() { ' ' } else { c }));
        is_after_bearer =
            core.eq_ignore_ascii_case("bearer") || (core.is_empty() && is_after_bearer);
    }
    if let Some((end, _)) = masked.char_indices().nth(LOGGED_CHARS_MAX) {
        masked.truncate(end);
        masked.push('\u{2026}');
    }
    masked
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '=')
}

fn looks_secret(word: &str) -> bool {
    let is_mixed = word.contains(|c: char| c.is_ascii_digit())
        && word.contains(|c: char| c.is_ascii_alphabetic());
    (word.len() >= SECRET_CHARS_MIN && is_mixed)
        || SECRET_PREFIXES
            .iter()
            .any(|prefix| word.len() > prefix.len() + 4 && word.starts_with(prefix))
}
