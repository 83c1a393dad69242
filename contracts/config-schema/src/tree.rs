use std::{collections::BTreeMap, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{Origin, Problem};

/// A value as it was given, with where.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value whose meaning its reader decides.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Whole(i64),
    Truth(bool),
    List(Vec<Node>),
    Table(Table),
    /// From a variable or a flag, where everything is text.
    Untyped(String),
    /// What no key takes (a fraction, an instant, a number too large), as it is written.
    Foreign(String),
}

pub(crate) type Table = BTreeMap<String, Node>;

impl Value {
    /// As a person would write it, on one line and of bounded length.
    pub(crate) fn shown(&self) -> String {
        let text = match self {
            Self::Text(text) | Self::Untyped(text) => format!("{:?}", masked(text)),
            Self::Whole(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::Foreign(text) => text.clone(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.value.shown()).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Table(_) => "a section".to_owned(),
        };
        shortened(text)
    }
}

/// The text without what stands between `//` and the last `@` after it.
pub(crate) fn masked(text: &str) -> String {
    match (text.find("//"), text.rfind('@')) {
        (Some(slashes), Some(at)) if slashes + 2 < at => {
            format!("{}***{}", &text[..slashes + 2], &text[at..])
        }
        _ => text.to_owned(),
    }
}

const SHOWN_CHARS_MAX: usize = 120;

fn shortened(text: String) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Reads a file's text. What is not TOML becomes problems; what could be read is in the table.
pub(crate) fn read_toml(name: &Arc<str>, text: &str, problems: &mut Vec<Problem>) -> Table {
    let file = File { name: Arc::clone(name), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let start = error.span().map_or(0, |span| span.start);
        problems.push(Problem {
            origin: file.origin(start),
            key: String::new(),
            value: None,
            message: format!("this is not TOML: {}", error.message()),
        });
    }
    file.table(table.into_inner())
}

struct File<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Origin::File { name: Arc::clone(&self.name), line }
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            // A section's own span is that of its first header; a key is the better place to point at.
            let origin = self.origin(key.span().start);
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            (key.into_owned(), Node { value: self.value(value), origin })
        };
        table.into_iter().map(entry).collect()
    }

    fn value(&self, value: Spanned<DeValue<'_>>) -> Value {
        let span = value.span();
        let written = || Value::Foreign(self.text.get(span.clone()).unwrap_or_default().to_owned());
        match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_too_large| written(), Value::Whole),
            DeValue::Boolean(truth) => Value::Truth(truth),
            DeValue::Float(_) | DeValue::Datetime(_) => written(),
            DeValue::Array(items) => {
                let node = |item: Spanned<DeValue<'_>>| {
                    let origin = self.origin(item.span().start);
                    Node { value: self.value(item), origin }
                };
                Value::List(items.into_iter().map(node).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}
