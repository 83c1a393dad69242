use std::fmt;

/// A line of the result.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// Of which server.
    pub(crate) of: String,
    /// The figure with its unit.
    pub(crate) figure: String,
    /// The same as a multiple of what it is held against; empty where it stands for itself.
    pub(crate) ratio: String,
    /// What it should be, and whether it is.
    pub(crate) target: Option<(&'static str, bool)>,
}

/// All that was measured, in columns.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Row {
    pub(crate) fn new(what: &str, of: &str, figure: String) -> Self {
        let (what, of) = (what.to_owned(), of.to_owned());
        Self { what, of, figure, ratio: String::new(), target: None }
    }

    pub(crate) fn ratio(self, ratio: String) -> Self {
        Self { ratio, ..self }
    }

    /// What the figure should be, in words, and whether it is.
    pub(crate) fn target(self, target: &'static str, is_met: bool) -> Self {
        Self { target: Some((target, is_met)), ..self }
    }
}

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Number of targets that were missed.
    pub(crate) fn missed(&self) -> usize {
        self.0.iter().filter(|row| matches!(row.target, Some((_, false)))).count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "of", "figure", "ratio", "target"].map(str::to_owned);
        let lines = std::iter::once(head).chain(self.0.iter().cloned().map(|row| {
            let target = row.target.map_or_else(String::new, |(text, is_met)| {
                format!("{text}: {}", if is_met { "met" } else { "missed" })
            });
            [row.what, row.of, row.figure, row.ratio, target]
        }));
        let lines: Vec<[String; 5]> = lines.collect();
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3), width(4)];
        for (number, line) in lines.iter().enumerate() {
            let cells: Vec<String> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "| {} |", cells.join(" | "))?;
            if number == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                writeln!(f, "| {} |", rules.join(" | "))?;
            }
        }
        Ok(())
    }
}
