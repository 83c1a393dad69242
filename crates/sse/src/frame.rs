use bytes::BufMut;

/// Appends one event. Line ends in `data` (LF, CR or CRLF) become line ends of the event, so nothing in it
/// can start another field; empty data is written as one empty line, which readers do dispatch.
///
/// # Panics
/// When `event` contains a line end. Event types are names in the code, never input.
pub fn write_event(out: &mut impl BufMut, id: Option<u64>, event: Option<&str>, data: &[u8]) {
    if let Some(id) = id {
        write_number(out, b"id: ", id);
    }
    if let Some(event) = event {
        assert!(
            memchr::memchr2(b'\n', b'\r', event.as_bytes()).is_none(),
            "an event type is one line"
        );
        out.put_slice(b"event: ");
        out.put_slice(event.as_bytes());
        out.put_u8(b'\n');
    }
    write_lines(out, b"data: ", data);
    out.put_u8(b'\n');
}

/// Appends a comment, which readers ignore: it keeps a silent connection open.
pub fn write_comment(out: &mut impl BufMut, text: &str) {
    write_lines(out, b": ", text.as_bytes());
    out.put_u8(b'\n');
}

/// Tells the reader how long to wait, in milliseconds, before it connects again.
pub fn write_retry(out: &mut impl BufMut, retry_ms: u64) {
    write_number(out, b"retry: ", retry_ms);
    out.put_u8(b'\n');
}

fn write_lines(out: &mut impl BufMut, prefix: &[u8], mut text: &[u8]) {
    loop {
        out.put_slice(prefix);
        let Some(end) = memchr::memchr2(b'\n', b'\r', text) else {
            out.put_slice(text);
            out.put_u8(b'\n');
            return;
        };
        out.put_slice(&text[..end]);
        out.put_u8(b'\n');
        text = &text[end..];
        text = text.strip_prefix(b"\r\n").unwrap_or_else(|| &text[1..]);
    }
}

/// Appends a field of decimal digits without going through a formatter: ids are written for each token.
fn write_number(out: &mut impl BufMut, prefix: &[u8], mut number: u64) {
    let mut digits = [0; 20]; // u64::MAX has 20
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789"[(number % 10) as usize];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(prefix);
    out.put_slice(&digits[start..]);
    out.put_u8(b'\n');
}
