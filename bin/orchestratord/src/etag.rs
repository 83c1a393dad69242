use axum::http::{HeaderMap, HeaderValue, header};
use catalog_core::Precondition;

use crate::query::named_header;

/// The `ETag` of a version.
pub(crate) fn etag(version: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("a version is hexadecimal digits")
}

/// What `If-Match`, or else `If-None-Match: *`, asks of a resource that is to be changed (RFC 9110, 13.1).
/// Weak tags match nothing there.
pub(crate) fn precondition(headers: &HeaderMap) -> Precondition {
    if let Some(value) = headers.get(header::IF_MATCH) {
        // A value that is no text names no version.
        return match value.to_str().unwrap_or_default().trim() {
            "*" => Precondition::Any,
            tags => Precondition::OneOf(tags_of(tags).map(str::to_owned).collect()),
        };
    }
    match named_header(headers, "if-none-match").map(str::trim) {
        Some("*") => Precondition::Absent,
        _ => Precondition::Any,
    }
}

/// Whether whoever asks has this version already, as `If-None-Match` says.
pub(crate) fn is_known(headers: &HeaderMap, version: &str) -> bool {
    let Some(tags) = named_header(headers, "if-none-match") else { return false };
    tags.trim() == "*" || tags_of(&tags.replace("W/", "")).any(|tag| tag == version)
}

/// The strong tags of a list; a version never holds a comma.
fn tags_of(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter_map(|tag| tag.trim().strip_prefix('"')?.strip_suffix('"'))
}
