use std::collections::{BTreeMap, BTreeSet};

use super::{Bindings, TestRef};

/// The tests that ran and passed, from what the test runner printed.
#[derive(Debug, Clone, Default)]
pub struct RanTests {
    /// How often each path was printed with `ok`. Binaries of two crates may have tests of one path.
    passed: BTreeMap<String, usize>,
}

impl RanTests {
    /// Reads lines such as `test lease::a_lease_ends ... ok`; all others are passed over.
    #[must_use]
    pub fn parse(output: &str) -> Self {
        let mut ran = Self::default();
        for line in output.lines() {
            let Some((path, outcome)) =
                line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
            else {
                continue;
            };
            if outcome == "ok" {
                let path = path.strip_suffix(" - should panic").unwrap_or(path);
                *ran.passed.entry(path.to_owned()).or_default() += 1;
            }
        }
        ran
    }

    /// How many tests passed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.passed.values().sum()
    }

    /// The tests of `bindings` that ran and passed. Where files of several crates hold tests of one path,
    /// they count only when that path was printed for each.
    #[must_use]
    pub fn of<'a>(&self, bindings: &'a Bindings) -> BTreeSet<&'a TestRef> {
        let mut namesakes: BTreeMap<(String, &str), Vec<&TestRef>> = BTreeMap::new();
        for test in bindings.all_tests() {
            namesakes.entry((test.module(), &test.function)).or_default().push(test);
        }
        let ran = namesakes.into_iter().filter(|((module, function), tests)| {
            let matching = self.passed.iter().filter(|(path, _)| is_path(path, module, function));
            matching.map(|(_, times)| times).sum::<usize>() >= tests.len()
        });
        ran.flat_map(|(_, tests)| tests).collect()
    }
}

fn is_path(path: &str, module: &str, function: &str) -> bool {
    let (before, last) = path.rsplit_once("::").unwrap_or(("", path));
    let is_below = before == module
        || module.is_empty()
        || before.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"));
    last == function && is_below
}
