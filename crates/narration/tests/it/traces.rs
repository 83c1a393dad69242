use narration::TraceContext;

const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_valid_header_is_read_and_written_as_it_was() {
    let trace = TraceContext::parse(VALID).unwrap();
    assert_eq!(trace.to_string(), VALID);
    assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn a_child_keeps_trace_and_flags() {
    let child = TraceContext::parse(VALID).unwrap().child(0xabc);
    assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01");
}

#[test]
fn a_started_trace_is_valid_whatever_the_numbers() {
    for (trace, span) in [(0, 0), (7, 8), (u128::MAX, u64::MAX)] {
        let started = TraceContext::start(trace, span);
        assert_eq!(TraceContext::parse(&started.to_string()), Some(started));
    }
}

#[test]
fn a_trace_says_whether_it_is_recorded() {
    assert!(TraceContext::parse(VALID).unwrap().is_recorded());
    let started = TraceContext::start(7, 8);
    assert!(!started.is_recorded());
    let recorded = started.recorded();
    assert!(recorded.is_recorded() && recorded.child(9).is_recorded());
    assert_eq!((recorded.trace_number(), recorded.span_number()), (7, 8));
}

#[test]
fn what_is_not_of_version_00_is_not_read() {
    let wrong = [
        "",
        "nonsense",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-00",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    for text in wrong {
        assert_eq!(TraceContext::parse(text), None, "{text}");
    }
}
