use camino::Utf8Path;
use xtask::{Bindings, Id};

fn check(file: &str, text: &str, expected: &[(&str, &str)], problems: &[&str]) {
    let bindings = Bindings::scan([(Utf8Path::new(file), text)]);
    let found: Vec<(String, String)> = bindings
        .ids()
        .flat_map(|id| bindings.tests(id).map(|test| (id.to_string(), test.function.clone())))
        .collect();
    let expected: Vec<(String, String)> =
        expected.iter().map(|(id, test)| ((*id).to_owned(), (*test).to_owned())).collect();
    assert_eq!(found, expected);
    assert_eq!(bindings.problems(), problems);
}

#[test]
fn a_line_above_a_test_binds_it_whatever_stands_between() {
    let expected = [
        ("CRIT-001", "an_async_test"),
        ("ORCH-091", "a_plain_test"),
        ("ORCH-091", "under_a_long_attribute"),
        ("ORCH-092", "an_async_test"),
        ("ORCH-093", "with_the_attribute_first"),
        ("ORCH-094", "a_property"),
    ];
    check("tests/it/bound.rs", include_str!("../fixtures/bound.rs.txt"), &expected, &[]);
}

#[test]
fn a_line_that_binds_nothing_is_a_problem_with_its_place() {
    let problems = [
        "a.rs:1: no test follows this line",
        "a.rs:4: no test follows this line",
        "a.rs:7: write `/// Verifies: ORCH-091` with three slashes",
        "a.rs:11: `ORCH-4` is no requirement id",
        "a.rs:15: `` is no requirement id",
        "a.rs:19: no test follows this line",
    ];
    let expected = [("ORCH-005", "with_a_misspelt_id")];
    check("a.rs", include_str!("../fixtures/unbound.rs.txt"), &expected, &problems);
}

#[test]
fn a_comment_above_a_python_test_binds_it() {
    let expected = [("ORCH-295", "test_the_official_client_streams")];
    let problems = ["tests/client.py:9: no test follows this line"];
    check("tests/client.py", include_str!("../fixtures/bound.py.txt"), &expected, &problems);
}

#[test]
fn an_id_has_one_spelling() {
    for wrong in
        ["ORCH-91", "ORCH-0091", "orch-091", "ORCH091", "CLOUD-100", "ORCH-3a1", "ORCH-+91"]
    {
        assert_eq!(Id::parse(wrong), None, "{wrong}");
    }
    assert_eq!(Id::parse("ORCH-001").map(|id| id.to_string()).as_deref(), Some("ORCH-001"));
}
