use std::fmt::{Display, Write};

use super::{Area, Bindings, Requirements, Status, StatusFile};

/// Longer titles are cut in the table, so that it fits a wide terminal.
const TITLE_CHARS_MAX: usize = 60;
const COLUMNS: [&str; 6] = ["all", "verified", "measured", "unverified", "planned", "named"];

/// A table of how many requirements of each area have which status, and how many a test names.
#[must_use]
pub fn coverage(requirements: &Requirements, status: &StatusFile, bindings: &Bindings) -> String {
    let areas = requirements.areas();
    let mut text = row("area", COLUMNS);
    let mut sums = [0; 6];
    for area in areas {
        let counts = counts(area, status, bindings);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        text += &row(&area.title, counts);
    }
    text += &row("all", sums);
    text
}

/// The requirements of the areas whose title contains `filter`, or the one requirement of that name,
/// each with its status, its note and the tests that name it.
#[must_use]
pub fn listing(
    requirements: &Requirements,
    status: &StatusFile,
    bindings: &Bindings,
    filter: &str,
) -> String {
    let mut text = String::new();
    let wanted = filter.to_lowercase();
    for area in requirements.areas() {
        let is_whole = area.title.to_lowercase().contains(&wanted);
        let is_shown = |id: &str| is_whole || id.eq_ignore_ascii_case(filter);
        if !area.ids.iter().any(|id| is_shown(&id.to_string())) {
            continue;
        }
        let _ = writeln!(text, "{}", area.title);
        for id in area.ids.iter().filter(|id| is_shown(&id.to_string())) {
            let note = status.note(id).map(|note| format!(" ({note})")).unwrap_or_default();
            let _ = writeln!(text, "  {id} {}{note}", status.status(id).name());
            for test in bindings.tests(id) {
                let _ = writeln!(text, "    {test}");
            }
        }
    }
    text
}

/// In the order of [`COLUMNS`].
fn counts(area: &Area, status: &StatusFile, bindings: &Bindings) -> [usize; 6] {
    let of = |wanted| area.ids.iter().filter(|id| status.status(id) == wanted).count();
    let named = area.ids.iter().filter(|id| bindings.tests(id).next().is_some()).count();
    [
        area.ids.len(),
        of(Status::Verified),
        of(Status::Measured),
        of(Status::Unverified),
        of(Status::Planned),
        named,
    ]
}

fn row(area: &str, cells: [impl Display; 6]) -> String {
    let mut line = format!("{area:<TITLE_CHARS_MAX$.TITLE_CHARS_MAX$}");
    for cell in cells {
        let _ = write!(line, " {cell:>10}");
    }
    line.push('\n');
    line
}
