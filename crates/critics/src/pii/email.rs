use std::ops::Range;

/// Longest local part and label (RFC 5321, 4.5.3.1; RFC 1035, 2.3.4), in bytes.
const LOCAL_BYTES_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 63;

/// Addresses `local@domain` with a dotted domain, in the form that people write: no quoted local parts, no
/// comments, no bare hosts. Letters of every script count (RFC 6531).
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let floor = found.last().map_or(0, |former| former.end);
        let start = local_start(text, floor, at);
        let Some(end) = domain_end(text, at + 1) else { continue };
        if is_local_part(&text[start..at]) {
            found.push(start..end);
        }
    }
    found
}

fn local_start(text: &str, floor: usize, at: usize) -> usize {
    // No longer than a local part may be, so that a text of one long word stays linear.
    let characters = text[floor..at].char_indices().rev().take(LOCAL_BYTES_MAX + 1);
    let local = characters.take_while(|(_, one)| is_local_character(*one));
    let start = local.last().map_or(at, |(offset, _)| floor + offset);
    start + text[start..at].len() - text[start..at].trim_start_matches(OPENING).len()
}

/// What may stand in a local part but is before it more often.
const OPENING: [char; 4] = ['.', '\'', '`', '*'];

fn is_local_character(character: char) -> bool {
    character.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(character)
}

fn is_local_part(local: &str) -> bool {
    !local.is_empty()
        && local.len() <= LOCAL_BYTES_MAX
        && !local.ends_with('.')
        && !local.contains("..")
}

/// The end of the domain that starts at `start`, if it is one with at least two labels.
fn domain_end(text: &str, start: usize) -> Option<usize> {
    let mut end = start;
    let mut labels = 0;
    let mut last = "";
    loop {
        let label_length: usize = text[end..]
            .chars()
            .take(LABEL_BYTES_MAX + 1)
            .take_while(|one| one.is_alphanumeric() || *one == '-')
            .map(char::len_utf8)
            .sum();
        // A hyphen that ends the label is the text's.
        let label = text[end..end + label_length].trim_end_matches('-');
        let is_label =
            !label.is_empty() && label.len() <= LABEL_BYTES_MAX && !label.starts_with('-');
        if !is_label {
            break;
        }
        labels += 1;
        last = label;
        end += label.len();
        let goes_on = label.len() == label_length && text[end..].starts_with('.');
        let has_next = goes_on && text[end + 1..].chars().next().is_some_and(char::is_alphanumeric);
        if !has_next {
            break;
        }
        end += 1;
    }
    let is_top =
        last.starts_with("xn--") || last.chars().filter(|one| one.is_alphabetic()).count() >= 2;
    let is_address = last.bytes().all(|byte| byte.is_ascii_digit());
    (labels >= 2 && is_top && !is_address).then_some(end)
}
