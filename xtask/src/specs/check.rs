use std::collections::BTreeSet;

use super::{Bindings, RanTests, Requirements, Status, StatusFile};

/// Everything in which requirements, their statuses and the tests disagree, as sentences; empty when all
/// is well. With `ran`, a verified requirement must be named by a test that ran and passed.
#[must_use]
pub fn check(
    requirements: &Requirements,
    status: &StatusFile,
    bindings: &Bindings,
    ran: Option<&RanTests>,
) -> Vec<String> {
    let mut problems = bindings.problems().to_vec();
    for id in bindings.ids().filter(|id| !requirements.contains(id)) {
        problems.extend(
            bindings.tests(id).map(|test| format!("{id} is not in .specs, named by {test}")),
        );
    }
    let listed: BTreeSet<_> = status.entries().map(|(id, _)| id).collect();
    let missing = requirements.ids().filter(|id| !listed.contains(id));
    problems.extend(missing.map(|id| format!("{id} has no status in .specs/status.toml")));

    let ran_tests = ran.map(|ran| ran.of(bindings));
    for (id, entry) in status.entries() {
        if !requirements.contains(id) {
            problems.push(format!("{id} has a status but is not in .specs"));
        }
        let note = entry.note.as_deref().unwrap_or_default();
        match entry.status {
            Status::Planned => {}
            Status::Verified if bindings.tests(id).next().is_none() => {
                problems.push(format!("{id} is marked verified, but no test names it"));
            }
            Status::Verified => {
                let has_run =
                    |tests: &BTreeSet<_>| bindings.tests(id).any(|test| tests.contains(test));
                if ran_tests.as_ref().is_some_and(|tests| !has_run(tests)) {
                    problems.push(format!(
                        "{id} is marked verified, but no test that names it ran and passed"
                    ));
                }
            }
            Status::Measured if !note.contains("`cargo ") => {
                problems.push(format!(
                    "{id} is marked measured; its note must have the command, as `cargo …`"
                ));
            }
            Status::Unverified if note.is_empty() => {
                problems.push(format!("{id} is marked unverified; its note must say why"));
            }
            Status::Measured | Status::Unverified => {}
        }
    }
    problems
}
