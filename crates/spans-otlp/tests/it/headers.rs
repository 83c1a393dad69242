use spans_otlp::{OtlpError, OtlpOptions, read_headers};

#[test]
fn fields_are_read_line_by_line_and_never_part_of_debug_texts() {
    let text = "\n# note\nAuthorization: Bearer opensesame\r\nx-team :  a:b \n";
    let headers = read_headers(text).unwrap();
    assert_eq!(
        (headers.len(), &headers["authorization"]),
        (2, &"Bearer opensesame".parse().unwrap())
    );
    assert_eq!(headers["x-team"], "a:b");
    let options = OtlpOptions { headers, ..OtlpOptions::default() };
    assert!(!format!("{options:?}").contains("opensesame"));
}

#[test]
fn a_line_that_is_no_field_is_told_by_its_number_alone() {
    for unfit in ["opensesame", "open sesame: x", ": x", "a: open\u{1}sesame", "Host: opensesame"] {
        let error = read_headers(&format!("ok: 1\n{unfit}")).unwrap_err();
        assert!(matches!(error, OtlpError::Header { line: 2, .. }), "{unfit}: {error:?}");
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    assert!(read_headers("").unwrap().is_empty());
}
