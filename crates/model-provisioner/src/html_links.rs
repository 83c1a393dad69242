/// Most links that are read from a page.
const LINKS_MAX: usize = 100_000;

/// Longest character reference, in bytes: `&#x10ffff;`.
const REFERENCE_BYTES_MAX: usize = 10;

/// The `href` of every `<a>` of an HTML page, in order, with character references replaced. As much of
/// HTML as PEP 503 needs: tags, quoted and bare attributes, comments. Never fails; a page that is no
/// HTML has no links.
pub(crate) fn html_links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let tag = rest.get(..2).unwrap_or_default();
        if tag.starts_with(['a', 'A']) && tag.ends_with(|c: char| c.is_ascii_whitespace()) {
            let (href, after) = href_of(&rest[1..]);
            rest = after;
            links.extend(href.map(unescape));
        }
        if links.len() >= LINKS_MAX {
            break;
        }
    }
    links
}

/// The `href` among the attributes at the beginning of `text`, and what follows the tag.
fn href_of(mut text: &str) -> (Option<&str>, &str) {
    let mut href = None;
    loop {
        text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if text.is_empty() {
            return (href, text);
        }
        if let Some(after) = text.strip_prefix('>') {
            return (href, after);
        }
        let ends_name = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        // A name may begin with `=` but not with what ends a tag, so it has at least one character.
        let name_end = text.char_indices().skip(1).find(|(_, c)| ends_name(*c));
        let (name, after) = text.split_at(name_end.map_or(text.len(), |(at, _)| at));
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=').map(str::trim_start) else {
            text = after;
            continue;
        };
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => {
                let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>');
                value.split_at(end.unwrap_or(value.len()))
            }
        };
        if name.eq_ignore_ascii_case("href") && href.is_none() {
            href = Some(value);
        }
        text = after;
    }
}

/// Replaces the character references that attribute values of indexes hold.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
        let replaced = end.and_then(|end| Some((character(&rest[1..end])?, end)));
        match replaced {
            Some((character, end)) => {
                plain.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn character(reference: &str) -> Option<char> {
    let code = match reference {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => reference.strip_prefix('#')?,
    };
    let number = match code.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => code.parse(),
    };
    char::from_u32(number.ok()?)
}
