use std::ops::Range;

/// Digits that stand together, possibly parted by single separators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DigitRun {
    /// The groups between separators.
    pub(crate) groups: Vec<Range<usize>>,
}

/// All maximal runs of ASCII digits, parted by at most one of `separators`.
pub(crate) fn digit_runs(text: &str, separators: &[u8]) -> Vec<DigitRun> {
    let bytes = text.as_bytes();
    let mut runs: Vec<DigitRun> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            at += 1;
        }
        let group = start..at;
        let goes_on = runs.last().and_then(|run| run.groups.last()).is_some_and(|former| {
            former.end + 1 == group.start && separators.contains(&bytes[former.end])
        });
        match runs.last_mut().filter(|_| goes_on) {
            Some(run) => run.groups.push(group),
            None => runs.push(DigitRun { groups: vec![group] }),
        }
    }
    runs
}
