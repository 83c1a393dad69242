use std::sync::Arc;

/// Longer names are compared by their beginnings only.
const MAX_CHARS: usize = 64;

/// The known name that is most like a wrong one, if any is like it at all.
pub(crate) fn nearest<'a>(
    wrong: &str,
    known: impl Iterator<Item = &'a Arc<str>>,
) -> Option<Arc<str>> {
    let wrong: Vec<char> = wrong.chars().take(MAX_CHARS).collect();
    let limit = wrong.len() / 2 + 1;
    let distances =
        known.map(|name| (distance(&wrong, name), name)).filter(|(distance, _)| *distance <= limit);
    distances.min_by(|a, b| a.cmp(b)).map(|(_, name)| Arc::clone(name))
}

/// How many characters must be put in, taken out or changed.
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (line, to) in to.chars().take(MAX_CHARS).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, from) in from.iter().enumerate() {
            let replaced = diagonal + usize::from(*from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[from.len()]
}
