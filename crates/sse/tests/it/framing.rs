use proptest::prelude::*;
use sse::{Parser, write_comment, write_event, write_retry};

fn check(id: Option<u64>, event: Option<&str>, data: &str, expected: &str) {
    let mut out = Vec::new();
    write_event(&mut out, id, event, data.as_bytes());
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn an_event_is_written_with_the_fields_it_has() {
    check(None, None, "{}", "data: {}\n\n");
    check(Some(0), None, "{}", "id: 0\ndata: {}\n\n");
    check(
        Some(u64::MAX),
        Some("token"),
        "x",
        "id: 18446744073709551615\nevent: token\ndata: x\n\n",
    );
    check(None, None, "", "data: \n\n");
}

#[test]
fn every_kind_of_line_end_in_data_becomes_a_line_of_data() {
    check(None, None, "a\nb\rc\r\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n");
    check(None, None, "\n", "data: \ndata: \n\n");
    check(None, None, "a\n\nevent: forged", "data: a\ndata: \ndata: event: forged\n\n");
    check(None, None, "a\r\n", "data: a\ndata: \n\n");
}

#[test]
fn comments_and_retry_are_not_events() {
    let mut out = Vec::new();
    write_comment(&mut out, "queued\ndata: forged");
    write_retry(&mut out, 1500);
    assert_eq!(out, b": queued\n: data: forged\n\nretry: 1500\n\n");
    let mut parser = Parser::new(100);
    parser.push(out.into());
    assert_eq!(parser.next_event(), Ok(None));
    assert_eq!(parser.retry_ms(), Some(1500));
}

#[test]
#[should_panic(expected = "an event type is one line")]
fn an_event_type_with_a_line_end_is_refused() {
    write_event(&mut Vec::new(), None, Some("a\ndata: forged"), b"");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        id in proptest::option::of(any::<u64>()),
        event in proptest::option::of("[a-z.]{1,12}"),
        data in "[ -~\u{e9}\u{4e16}\u{1f600}:\n\r]{0,60}",
    ) {
        let mut out = Vec::new();
        write_event(&mut out, id, event.as_deref(), data.as_bytes());
        let mut parser = Parser::new(1000);
        parser.push(out.into());
        let read = parser.next_event().unwrap().unwrap();
        prop_assert_eq!(read.id.as_deref().map(|id| id.parse().unwrap()), id);
        prop_assert_eq!(read.event, event);
        let expected = data.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(std::str::from_utf8(&read.data).unwrap(), expected);
        prop_assert_eq!(parser.next_event(), Ok(None));
    }
}
