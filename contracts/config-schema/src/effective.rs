use std::fmt::Write as _;

use toml::{Table as TomlTable, Value as TomlValue};

use crate::{
    Config, Origin,
    reader::quoted,
    tree::{Node, Table, Value, masked},
};

/// A configuration, and where each of its values comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    root: Table,
}

impl Loaded {
    pub(crate) fn new(config: Config, root: Table) -> Self {
        Self { config, root }
    }

    /// Where the value at `path` was given; `None` where it is a default.
    #[must_use]
    pub fn origin(&self, path: &[&str]) -> Option<&Origin> {
        let (first, rest) = path.split_first()?;
        let mut node: &Node = self.root.get(*first)?;
        for segment in rest {
            let Value::Table(table) = &node.value else { return None };
            node = table.get(*segment)?;
        }
        Some(&node.origin)
    }

    /// All values that hold, as a file that gives them again, each with a comment that says where it comes
    /// from. Credentials in addresses are masked.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let table = TomlTable::try_from(&self.config).expect("the configuration is TOML");
        let mut text = String::new();
        self.write_table(&table, &mut Vec::new(), &mut text);
        text
    }

    fn write_table<'t>(&self, table: &'t TomlTable, path: &mut Vec<&'t str>, text: &mut String) {
        let is_table = |value: &TomlValue| matches!(value, TomlValue::Table(_));
        let (sections, values): (Vec<_>, Vec<_>) =
            table.iter().partition(|(_, value)| is_table(value));
        if !path.is_empty() && (!values.is_empty() || sections.is_empty()) {
            let path: Vec<String> = path.iter().map(|segment| quoted(segment)).collect();
            let gap = if text.is_empty() { "" } else { "\n" };
            writeln!(text, "{gap}[{}]", path.join(".")).expect("a string takes all text");
        }
        for (key, value) in values {
            path.push(key);
            let origin = self.origin(path).map_or_else(|| "default".to_owned(), shown_origin);
            path.pop();
            let value = without_credentials(value);
            writeln!(text, "{} = {value}  # {origin}", quoted(key))
                .expect("a string takes all text");
        }
        for (key, value) in sections {
            let TomlValue::Table(inner) = value else { continue };
            path.push(key);
            self.write_table(inner, path, text);
            path.pop();
        }
    }
}

/// One line: a file's name may hold anything.
fn shown_origin(origin: &Origin) -> String {
    origin.to_string().replace(char::is_control, "\u{FFFD}")
}

pub(crate) fn without_credentials(value: &TomlValue) -> TomlValue {
    match value {
        TomlValue::String(text) => TomlValue::String(masked_address(text)),
        TomlValue::Array(items) => {
            TomlValue::Array(items.iter().map(without_credentials).collect())
        }
        other => other.clone(),
    }
}

/// As [`masked`]; the query of an address may hold a signature, so it is masked as well.
fn masked_address(text: &str) -> String {
    let text = masked(text);
    let is_address = text.contains("https://") || text.contains("http://");
    match text.split_once('?') {
        Some((address, _query)) if is_address => format!("{address}?***"),
        _ => text,
    }
}
