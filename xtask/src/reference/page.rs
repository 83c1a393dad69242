use std::fmt::Write as _;

use serde_json::Value;

/// A Markdown page while it is written.
pub(super) struct Page {
    text: String,
}

impl Page {
    /// A page with its title and what it is.
    pub(super) fn new(title: &str, about: &str) -> Self {
        Self {
            text: format!(
                "# {title}\n\n{about}\n\nThis page is written by `cargo xtask contracts`; do not edit it.\n"
            ),
        }
    }

    pub(super) fn heading(&mut self, text: &str) {
        let _ = write!(self.text, "\n## {text}\n");
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = write!(self.text, "\n{}\n", one_line(text));
        }
    }

    /// A table; cells hold Markdown, of which only what would end a cell is changed.
    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let rule = vec!["---".to_owned(); head.len()];
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        self.text.push('\n');
        for row in [&head, &rule].into_iter().chain(rows) {
            let cells: Vec<String> =
                row.iter().map(|cell| one_line(cell).replace('|', "\\|")).collect();
            let _ = writeln!(self.text, "| {} |", cells.join(" | "));
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The text on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A field of text, or nothing.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// As code.
pub(super) fn code(text: impl std::fmt::Display) -> String {
    format!("`{text}`")
}

/// The strings of a list, each as code.
pub(super) fn codes(list: &Value) -> String {
    let items = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    items.map(code).collect::<Vec<_>>().join(", ")
}
