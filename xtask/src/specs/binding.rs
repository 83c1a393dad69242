use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};

use super::Id;

/// Which tests verify which requirements, and the lines that look like a binding but are none.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    tests_by_id: BTreeMap<Id, BTreeSet<TestRef>>,
    problems: Vec<String>,
}

/// A test function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestRef {
    /// Path from the root of the workspace.
    pub file: Utf8PathBuf,
    /// Name of the function.
    pub function: String,
}

const RUST_MARK: &str = "/// Verifies:";
const PYTHON_MARK: &str = "# Verifies:";
/// Spellings that a reader takes for a binding and the scan would not.
const NEAR_MISSES: [&str; 5] =
    ["// Verifies", "//! Verifies", "///Verifies", "/// Verifies ", "/// verifies:"];

impl Bindings {
    /// Reads the bindings of all given files.
    pub fn scan<'a>(sources: impl IntoIterator<Item = (&'a Utf8Path, &'a str)>) -> Self {
        let mut bindings = Self::default();
        for (file, text) in sources {
            bindings.scan_file(file, text);
        }
        bindings
    }

    /// Every id that a test names, in rising order.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.tests_by_id.keys()
    }

    /// The tests that name a requirement.
    pub fn tests(&self, id: &Id) -> impl Iterator<Item = &TestRef> {
        self.tests_by_id.get(id).into_iter().flatten()
    }

    /// All tests that name any requirement, each once.
    #[must_use]
    pub fn all_tests(&self) -> BTreeSet<&TestRef> {
        self.tests_by_id.values().flatten().collect()
    }

    /// What is wrong with the lines themselves, one sentence each, with file and line.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn scan_file(&mut self, file: &Utf8Path, text: &str) {
        let is_python = file.extension() == Some("py");
        let mark = if is_python { PYTHON_MARK } else { RUST_MARK };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let place = format!("{file}:{}", index + 1);
            let Some(list) = line.strip_prefix(mark) else {
                if !is_python && NEAR_MISSES.iter().any(|spelling| line.starts_with(spelling)) {
                    self.problems
                        .push(format!("{place}: write `{mark} ORCH-091` with three slashes"));
                }
                continue;
            };
            let function =
                if is_python { python_test(&lines[index + 1..]) } else { rust_test(&lines, index) };
            let Some(function) = function else {
                self.problems.push(format!("{place}: no test follows this line"));
                continue;
            };
            for name in list.split(',').map(str::trim) {
                match Id::parse(name) {
                    Some(id) => {
                        let test = TestRef { file: file.to_owned(), function: function.to_owned() };
                        self.tests_by_id.entry(id).or_default().insert(test);
                    }
                    None => self.problems.push(format!("{place}: `{name}` is no requirement id")),
                }
            }
        }
    }
}

/// The function below a comment, when an attribute of it ends in `test`.
fn rust_test<'a>(lines: &[&'a str], mark: usize) -> Option<&'a str> {
    // rustfmt puts documentation above attributes; where somebody did not, they stand right above it.
    let above =
        lines[..mark].iter().rev().take_while(|it| it.starts_with("#[") || it.starts_with("///"));
    let mut is_test = above.into_iter().any(|line| is_test_attribute(line));
    let mut open_brackets = 0_usize;
    for line in &lines[mark + 1..] {
        if open_brackets > 0 || line.starts_with("#[") {
            is_test |= open_brackets == 0 && is_test_attribute(line);
            open_brackets += line.matches('[').count();
            open_brackets = open_brackets.saturating_sub(line.matches(']').count());
        } else if !line.starts_with("//") && !line.is_empty() {
            return function_name(line, "fn ").filter(|_name| is_test);
        }
    }
    None
}

fn is_test_attribute(line: &str) -> bool {
    let Some(attribute) = line.strip_prefix("#[") else { return false };
    let path = attribute.split(['(', ']']).next().unwrap_or_default().trim();
    path.rsplit("::").next() == Some("test")
}

fn python_test<'a>(below: &[&'a str]) -> Option<&'a str> {
    let line = below.iter().find(|line| !line.starts_with(['#', '@']) && !line.is_empty())?;
    function_name(line, "def ").filter(|name| name.starts_with("test"))
}

fn function_name<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(keyword)?;
    let is_declaration =
        before.split_whitespace().all(|word| matches!(word, "pub" | "async" | "const"));
    let name = after.split(['(', '<', ' ']).next()?;
    (is_declaration && !name.is_empty()).then_some(name)
}

impl TestRef {
    /// The path that the test runner prints before the modules inside the file, such as `it::lease` less
    /// the name of the binary: empty for `lib.rs`, `main.rs` and files that are binaries of their own.
    #[must_use]
    pub(super) fn module(&self) -> String {
        let mut parts: Vec<&str> = self.file.components().map(|it| it.as_str()).collect();
        let stem = self.file.file_stem().unwrap_or_default();
        let file_name = parts.pop();
        let root = parts.iter().rposition(|part| matches!(*part, "src" | "tests" | "examples"));
        let mut module = match root {
            Some(root) if parts[root] == "src" => parts.split_off(root + 1),
            // tests/<binary>/<module>.rs; a file right under tests/ is a binary itself.
            Some(root) => parts.split_off((root + 2).min(parts.len())),
            None => Vec::new(),
        };
        let is_binary_root = matches!(file_name, Some("lib.rs" | "main.rs"))
            || root.is_some_and(|root| parts.len() == root + 1 && parts[root] != "src");
        if !is_binary_root && file_name != Some("mod.rs") {
            module.push(stem);
        }
        module.join("::")
    }
}

impl fmt::Display for TestRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.file, self.function)
    }
}
