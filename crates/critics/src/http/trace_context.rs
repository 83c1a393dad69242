use reqwest::RequestBuilder;

/// Passes the caller's trace on: a W3C `traceparent` as such, any other id that a header can hold as `X-Trace-Id`.
pub(super) fn with_trace(request: RequestBuilder, trace_id: Option<&str>) -> RequestBuilder {
    match trace_id {
        Some(id) if is_traceparent(id) => request.header("traceparent", id),
        Some(id) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()) => {
            request.header("x-trace-id", id)
        }
        _ => request,
    }
}

/// `version-trace_id-parent_id-flags`, all in lower-case hex (W3C Trace Context, section 3.2).
fn is_traceparent(id: &str) -> bool {
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    lengths == [2, 32, 16, 2] && id.bytes().all(is_hex)
}
