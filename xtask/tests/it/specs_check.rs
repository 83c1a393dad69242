use camino::Utf8Path;
use xtask::{Bindings, RanTests, Requirements, StatusFile, check, coverage, listing};

const DOCUMENT: &str = "## 6. Durability\n- **ORCH-091** A\n- **ORCH-092** B\n";
const SOURCE: &str = "/// Verifies: ORCH-091\n#[test]\nfn it_holds() {}\n";

fn problems(statuses: &str, source: &str, ran: Option<&str>) -> Vec<String> {
    let requirements = Requirements::parse([("doc", DOCUMENT)]).unwrap();
    let status = StatusFile::parse(&format!("[x]\n{statuses}")).unwrap();
    let bindings = Bindings::scan([(Utf8Path::new("tests/it/a.rs"), source)]);
    check(&requirements, &status, &bindings, ran.map(RanTests::parse).as_ref())
}

/// The status of ORCH-091 under test, beside a planned ORCH-092.
fn with(status: &str) -> String {
    format!("ORCH-091 = {status}\nORCH-092 = {{ status = \"planned\" }}\n")
}

#[test]
fn a_verified_requirement_needs_a_test_that_names_it() {
    let verified = with("{ status = \"verified\" }");
    assert_eq!(problems(&verified, SOURCE, None), Vec::<String>::new());
    assert_eq!(
        problems(&verified, "", None),
        ["ORCH-091 is marked verified, but no test names it"]
    );
}

#[test]
fn a_verified_requirement_needs_a_test_that_passed_once_the_run_is_known() {
    let verified = with("{ status = \"verified\" }");
    assert_eq!(problems(&verified, SOURCE, Some("test a::it_holds ... ok")), Vec::<String>::new());
    let expected = ["ORCH-091 is marked verified, but no test that names it ran and passed"];
    assert_eq!(problems(&verified, SOURCE, Some("test a::it_holds ... FAILED")), expected);
    assert_eq!(problems(&verified, SOURCE, Some("")), expected);
}

#[test]
fn a_measured_requirement_needs_its_command_and_an_unverified_one_its_reason() {
    for good in [
        "{ status = \"measured\", note = \"`cargo xtask bench tokens`, in the note of issue 3\" }",
        "{ status = \"unverified\", note = \"needs a GPU\" }",
    ] {
        assert_eq!(problems(&with(good), "", None), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "{ status = \"measured\" }",
        "{ status = \"measured\", note = \"by hand\" }",
        "{ status = \"unverified\" }",
    ] {
        assert_eq!(problems(&with(bad), "", None).len(), 1, "{bad}");
    }
}

#[test]
fn every_id_is_known_on_all_three_sides() {
    let source = SOURCE.replace("ORCH-091", "ORCH-999");
    let planned = with("{ status = \"planned\" }");
    assert_eq!(
        problems(&planned, &source, None),
        ["ORCH-999 is not in .specs, named by tests/it/a.rs it_holds"]
    );
    assert_eq!(
        problems("ORCH-091 = { status = \"planned\" }", "", None),
        ["ORCH-092 has no status in .specs/status.toml"]
    );
    let foreign = format!("{planned}ORCH-500 = {{ status = \"planned\" }}\n");
    assert_eq!(problems(&foreign, "", None), ["ORCH-500 has a status but is not in .specs"]);
}

#[test]
fn reports_show_counts_per_area_and_the_tests_of_one() {
    let requirements = Requirements::parse([("doc", DOCUMENT)]).unwrap();
    let status = StatusFile::parse(&format!("[x]\n{}", with("{ status = \"verified\" }"))).unwrap();
    let bindings = Bindings::scan([(Utf8Path::new("tests/it/a.rs"), SOURCE)]);
    let table = coverage(&requirements, &status, &bindings);
    let last: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last, ["all", "2", "1", "0", "0", "1", "1"]);
    let list = "doc: 6. Durability\n  ORCH-091 verified\n    tests/it/a.rs it_holds\n";
    assert_eq!(listing(&requirements, &status, &bindings, "orch-091"), list);
    let all = format!("{list}  ORCH-092 planned\n");
    assert_eq!(listing(&requirements, &status, &bindings, "durability"), all);
    assert_eq!(listing(&requirements, &status, &bindings, "placement"), "");
}
