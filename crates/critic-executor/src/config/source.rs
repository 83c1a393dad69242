use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, ConfigErrors};

/// A part of the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Where the values of a file stand. It says nothing about what they are, so any two are equal.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    file: String,
    text: String,
    root: Place,
}

impl PartialEq for Source {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// Where a value stands, and the values in it.
#[derive(Debug, Clone, Default)]
struct Place {
    start: usize,
    parts: Vec<(Step, Place)>,
}

impl Source {
    /// Reads TOML.
    pub(super) fn toml(file: &str, text: &str) -> Result<(Self, Value), ConfigErrors> {
        let source = Self { file: file.to_owned(), text: text.to_owned(), root: Place::default() };
        let table = DeTable::parse(text).map_err(|error| {
            let start = error.span().map(|span: Range<usize>| span.start);
            ConfigErrors(vec![source.error_at(start, "", error.message().to_owned())])
        })?;
        let mut problems = Vec::new();
        let (root, value) = of_table(0, table.get_ref(), &mut problems);
        let errors =
            problems.into_iter().map(|(start, problem)| source.error_at(Some(start), "", problem));
        let errors: Vec<_> = errors.collect();
        if errors.is_empty() {
            Ok((Self { root, ..source }, value))
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// Reads JSON.
    pub(super) fn json(file: &str, text: &str) -> Result<(Self, Value), ConfigErrors> {
        let source = Self { file: file.to_owned(), text: text.to_owned(), root: Place::default() };
        let fail = |error: &serde_json::Error| {
            let (file, line, column) = (file.to_owned(), error.line(), error.column());
            let problem = error.to_string();
            ConfigErrors(vec![ConfigError { file, line, column, key: String::new(), problem }])
        };
        let value: Value = serde_json::from_str(text).map_err(|error| fail(&error))?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| fail(&error))?;
        let root = of_raw(text, raw, &value);
        Ok((Self { root, ..source }, value))
    }

    /// An error at the place of a value, or of the nearest one around it that stands in the file.
    pub(super) fn error(&self, path: &[Step], problem: impl Into<String>) -> ConfigError {
        let mut place = &self.root;
        let mut start = None;
        for step in path {
            let Some((_, part)) = place.parts.iter().find(|(known, _)| known == step) else {
                break;
            };
            place = part;
            start = Some(part.start);
        }
        self.error_at(start, &key_of(path), problem.into())
    }

    fn error_at(&self, start: Option<usize>, key: &str, problem: String) -> ConfigError {
        let (line, column) = start.map_or((0, 0), |start| self.line_and_column(start));
        ConfigError { file: self.file.clone(), line, column, key: key.to_owned(), problem }
    }

    fn line_and_column(&self, start: usize) -> (usize, usize) {
        let before = self.text.get(..start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count());
        (before.matches('\n').count() + 1, column + 1)
    }
}

fn key_of(path: &[Step]) -> String {
    let mut key = String::new();
    for step in path {
        match step {
            Step::Key(name) => {
                if !key.is_empty() {
                    key.push('.');
                }
                key.push_str(name);
            }
            Step::Index(index) => key.push_str(&format!("[{index}]")),
        }
    }
    key
}

type Problems = Vec<(usize, String)>;

fn of_table(start: usize, table: &DeTable<'_>, problems: &mut Problems) -> (Place, Value) {
    let mut place = Place { start, parts: Vec::new() };
    let mut fields = serde_json::Map::new();
    for (key, value) in table {
        let name = key.get_ref().to_string();
        let (part, value) = of_value(key.span().start, value.get_ref(), problems);
        place.parts.push((Step::Key(name.clone()), part));
        fields.insert(name, value);
    }
    (place, Value::Object(fields))
}

fn of_value(start: usize, value: &DeValue<'_>, problems: &mut Problems) -> (Place, Value) {
    let place = Place { start, parts: Vec::new() };
    let number = |text: String, problems: &mut Problems| {
        let number = text.parse::<i64>().map(Value::from);
        number.unwrap_or_else(|_| {
            let float = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            float.map_or_else(
                || {
                    problems.push((start, format!("`{text}` is no number that can be used")));
                    Value::Null
                },
                Value::Number,
            )
        })
    };
    let value = match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::from(integer),
            Err(_) => number(integer.as_str().to_owned(), problems),
        },
        DeValue::Float(float) => {
            let parsed = float.as_str().parse::<f64>().ok();
            match parsed.and_then(serde_json::Number::from_f64) {
                Some(float) => Value::Number(float),
                None => number(float.as_str().to_owned(), problems),
            }
        }
        DeValue::Array(items) => {
            let mut place = place;
            let mut values = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let (part, value) = of_value(item.span().start, item.get_ref(), problems);
                place.parts.push((Step::Index(index), part));
                values.push(value);
            }
            return (place, Value::Array(values));
        }
        DeValue::Table(table) => return of_table(start, table, problems),
    };
    (place, value)
}

/// The parts of an object, each with its own text.
struct RawFields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = RawFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawFields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((Cow::Owned(key), value));
                }
                Ok(RawFields(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Where the parts of a JSON value stand, which is known because each borrows its text.
fn of_raw(text: &str, raw: &RawValue, value: &Value) -> Place {
    let start = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let mut place = Place { start, parts: Vec::new() };
    match value {
        Value::Object(fields) => {
            let raw: Option<RawFields<'_>> = serde_json::from_str(raw.get()).ok();
            for (name, part) in raw.map(|raw| raw.0).unwrap_or_default() {
                if let Some(value) = fields.get(&*name) {
                    let part = of_raw(text, part, value);
                    place.parts.push((Step::Key(name.into_owned()), part));
                }
            }
        }
        Value::Array(items) => {
            let raw: Option<Vec<&RawValue>> = serde_json::from_str(raw.get()).ok();
            for (index, (part, value)) in raw.unwrap_or_default().into_iter().zip(items).enumerate()
            {
                place.parts.push((Step::Index(index), of_raw(text, part, value)));
            }
        }
        _ => {}
    }
    place
}
