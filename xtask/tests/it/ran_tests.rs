use camino::Utf8Path;
use xtask::{Bindings, RanTests};

const TEST: &str = "/// Verifies: ORCH-001\n#[test]\nfn it_holds() {}\n";

fn check(files: &[&str], output: &str, expected: &[&str]) {
    let bindings = Bindings::scan(files.iter().map(|file| (Utf8Path::new(file), TEST)));
    let ran = RanTests::parse(output);
    let files: Vec<&str> = ran.of(&bindings).iter().map(|test| test.file.as_str()).collect();
    assert_eq!(files, expected, "{output}");
}

#[test]
fn a_test_ran_when_its_path_was_printed_with_ok() {
    for (file, path) in [
        ("crates/a/tests/it/lease.rs", "lease::it_holds"),
        ("crates/a/tests/it/lease.rs", "lease::edges::it_holds"),
        ("crates/a/tests/it/lease/expiry.rs", "lease::expiry::it_holds"),
        ("crates/a/tests/it/lease/mod.rs", "lease::it_holds"),
        ("crates/a/tests/it/main.rs", "it_holds"),
        ("crates/a/tests/alone.rs", "it_holds"),
        ("crates/a/src/lease.rs", "lease::tests::it_holds"),
        ("crates/a/src/lease/expiry.rs", "lease::expiry::tests::it_holds"),
        ("crates/a/src/lib.rs", "tests::it_holds"),
        ("crates/a/src/lease.rs", "lease::it_holds - should panic"),
    ] {
        check(&[file], &format!("running 1 test\ntest {path} ... ok\n"), &[file]);
    }
}

#[test]
fn a_test_that_failed_was_ignored_or_is_another_did_not_run() {
    let file = "crates/a/tests/it/lease.rs";
    for line in [
        "test lease::it_holds ... FAILED",
        "test lease::it_holds ... ignored",
        "test lease::it_holds_too ... ok",
        "test release::it_holds ... ok",
        "test lease_two::it_holds ... ok",
        "lease::it_holds ... ok",
    ] {
        check(&[file], line, &[]);
    }
}

#[test]
fn namesakes_of_two_crates_count_only_when_both_ran() {
    let files = ["crates/a/tests/it/lease.rs", "crates/b/tests/it/lease.rs"];
    let line = "test lease::it_holds ... ok\n";
    check(&files, line, &[]);
    check(&files, &line.repeat(2), &files);
}

#[test]
fn passed_tests_are_counted() {
    let output = "test a ... ok\ntest b ... FAILED\ntest a ... ok\ntest result: ok. 2 passed\n";
    assert_eq!(RanTests::parse(output).count(), 2);
}
