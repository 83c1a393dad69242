use bytes::Bytes;
use proptest::prelude::*;
use sse::{Event, ParseError, Parser};

const LIMIT_BYTES: usize = 64;

/// Everything the parser says about a stream that arrives in `pieces`.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Option<ParseError>) {
    let mut parser = Parser::new(LIMIT_BYTES);
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// Checks (id, event, data) of all events of a stream that arrives whole, and byte by byte.
fn check(stream: &str, expected: &[(&str, &str, &str)]) {
    for (events, error) in [read([stream.as_bytes()]), read(stream.as_bytes().chunks(1))] {
        assert_eq!(error, None);
        let events: Vec<_> = events
            .iter()
            .map(|event| {
                (
                    event.id.as_deref().unwrap_or_default(),
                    event.event.as_deref().unwrap_or("message"),
                    std::str::from_utf8(&event.data).unwrap(),
                )
            })
            .collect();
        assert_eq!(events, expected, "of {stream:?}");
    }
}

#[test]
fn the_examples_of_the_standard_are_read_as_it_says() {
    check("data: YHOO\ndata: +2\ndata: 10\n\n", &[("", "message", "YHOO\n+2\n10")]);
    check(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        &[("1", "message", "first event"), ("", "message", "second event")],
    );
    check("data\n\ndata\ndata\n\ndata:", &[("", "message", ""), ("", "message", "\n")]);
    check("data:test\n\ndata: test\n\n", &[("", "message", "test"), ("", "message", "test")]);
    check(
        "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
        &[("", "add", "73857293"), ("", "remove", "2153")],
    );
}

#[test]
fn lines_end_with_lf_cr_or_crlf() {
    for end in ["\n", "\r", "\r\n"] {
        check(
            &format!("id: 1{end}event: a{end}data: x{end}data: y{end}{end}data: z{end}{end}"),
            &[("1", "a", "x\ny"), ("1", "message", "z")],
        );
    }
    check("data: a\r\n\rdata: b\n\r", &[("", "message", "a"), ("", "message", "b")]);
}

#[test]
fn an_event_that_ends_with_cr_does_not_wait_for_an_lf() {
    let (events, _) = read([&b"data: a\r\r"[..]]);
    assert_eq!(events.len(), 1);
}

#[test]
fn one_byte_order_mark_is_dropped_and_only_at_the_start() {
    check("\u{feff}data: a\n\n", &[("", "message", "a")]);
    check("\u{feff}\u{feff}data: a\n\n", &[]);
    check("data: a\n\n\u{feff}data: b\n\n", &[("", "message", "a")]);
    check("\u{feff}\n\n", &[]);
}

#[test]
fn an_id_stays_until_it_is_replaced_or_taken_back() {
    check(
        "id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\nid\ndata: d\n\n",
        &[
            ("1", "message", "a"),
            ("1", "message", "b"),
            ("2", "message", "c"),
            ("", "message", "d"),
        ],
    );
    check("id: 1\ndata: a\nid: 2\0\n\n", &[("1", "message", "a")]);
}

#[test]
fn a_type_belongs_to_one_event_and_events_without_data_are_none() {
    check("event: a\n\ndata: x\n\n", &[("", "message", "x")]);
    check("event: a\nevent\ndata: x\n\n", &[("", "message", "x")]);
}

#[test]
fn unknown_fields_and_comments_are_ignored() {
    check(
        "dat: x\ndatax: y\nDATA: z\n: data: q\n:\ndata : r\ndata: s:t\n\n",
        &[("", "message", "s:t")],
    );
}

#[test]
fn what_is_incomplete_at_the_end_is_not_an_event() {
    check("data: a\n", &[]);
    check("data: a\n\ndata: b\nid: 3", &[("", "message", "a")]);
}

#[test]
fn between_events_is_only_where_the_next_byte_begins_one() {
    let mut parser = Parser::new(LIMIT_BYTES);
    // A byte order mark may still come.
    assert!(!parser.is_between_events());
    for (piece, is_between) in [
        ("data: a\n\n", true),
        (": a comment\n", true),
        ("id: 7", false),
        ("\n", true),
        ("data: b\n", false),
        ("\n", true),
        ("event: x\n", false),
        ("\n", true),
        ("data: c\n\ndata", false),
        (": d\n\n", true),
        ("data: e\r\r", false),
        ("\n", true),
    ] {
        parser.push(piece.into());
        while parser.next_event().unwrap().is_some() {}
        assert_eq!(parser.is_between_events(), is_between, "after {piece:?}");
    }
    parser.push(vec![b'x'; LIMIT_BYTES + 1].into());
    assert!(parser.next_event().is_err());
    assert!(!parser.is_between_events());
}

#[test]
fn only_whole_numbers_change_the_retry_time() {
    let mut parser = Parser::new(LIMIT_BYTES);
    parser.push(
        "retry: 250\nretry: 1.5\nretry\nretry: -1\nretry: 99999999999999999999999\n\n".into(),
    );
    assert_eq!(parser.next_event(), Ok(None));
    assert_eq!(parser.retry_ms(), Some(250));
}

#[test]
fn bytes_that_are_not_utf8_stay_as_they_are_in_data() {
    let (events, _) = read([&b"event: \xff\ndata: \xf0\x9f\n\n"[..]]);
    assert_eq!(&events[0].data[..], b"\xf0\x9f");
    assert_eq!(events[0].event.as_deref(), Some("\u{fffd}"));
}

#[test]
fn a_line_over_the_limit_fails_before_it_ends_and_for_good() {
    let mut parser = Parser::new(LIMIT_BYTES);
    parser.push("data: ok\n\n".into());
    parser.push(vec![b'x'; LIMIT_BYTES].into());
    assert!(parser.next_event().unwrap().is_some());
    assert_eq!(parser.next_event(), Ok(None));
    parser.push("x".into());
    let error = Err(ParseError::LineTooLong { limit_bytes: LIMIT_BYTES });
    assert_eq!(parser.next_event(), error);
    parser.push("\n\ndata: more\n\n".into());
    assert_eq!(parser.next_event(), error);
}

#[test]
fn data_of_an_event_over_the_limit_fails() {
    let line = format!("data: {}\n", "x".repeat(31));
    let (events, error) = read([format!("{line}{line}\n").as_bytes()]); // 63 bytes and their LF
    assert_eq!((events.len(), error), (1, None));
    let (events, error) = read([format!("{line}{line}data:y\n\n").as_bytes()]);
    assert_eq!(
        (events.len(), error),
        (0, Some(ParseError::EventTooLong { limit_bytes: LIMIT_BYTES }))
    );
}

#[test]
fn every_split_of_a_stream_in_three_gives_the_same_events() {
    let stream = "\u{feff}: hi\r\nid: 1\r\nevent: t\r\ndata: \u{1f600}\r\n\r\nretry: 5\rdata: a\rdata\r\rid: 2\n\n\
                  data: \u{4e16}\u{754c}\n\n"
        .as_bytes();
    let whole = read([stream]);
    assert_eq!(whole.0.len(), 3);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            assert_eq!(read([&stream[..first], &stream[first..second], &stream[second..]]), whole);
        }
    }
}

/// Text made mostly of what matters to a parser of event streams.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b"data".to_vec()),
        Just(b"data: ".to_vec()),
        Just(b"id: 4".to_vec()),
        Just(b"event:e".to_vec()),
        Just(b"retry: 10".to_vec()),
        Just(b":".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\xef\xbb\xbf".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_of_any_bytes_gives_the_same_events(
        bytes in stream(),
        sizes in proptest::collection::vec(1_usize..9, 1..200),
    ) {
        let mut rest = &bytes[..];
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(read(pieces), read([&bytes[..]]));
    }
}
