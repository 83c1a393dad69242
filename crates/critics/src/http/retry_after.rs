use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How long the server asks to wait (RFC 9110, section 10.2.3): a number of seconds, or a date, which counts
/// from the date of the response. `None` where it says nothing that can be understood.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit are as good as for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let until = date(value)?;
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    Some(until.duration_since(now).unwrap_or_default())
}
