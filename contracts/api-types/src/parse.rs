use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::error::Category;

/// Why a body is not the JSON that a route wants (ORCH-007).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyProblem {
    /// The text is not JSON.
    #[error("the body is not JSON: {message} at line {line}, column {column}")]
    Malformed { message: String, line: usize, column: usize },
    /// The JSON does not have the route's shape.
    #[error("`{field}`: {message}")]
    Schema { field: String, message: String },
}

/// Reads a body that is one object as `T`, and names the field at fault where it does not fit.
///
/// # Errors
/// [`BodyProblem`].
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyProblem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let ObjectOnly(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        problem(&path, error.inner())
    })?;
    json.end().map_err(|error| problem(".", &error))?;
    Ok(value)
}

/// For `deserialize_with`: a struct from an object, and not, as serde would also have it, from a list of
/// its fields' values.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    ObjectOnly::deserialize(deserializer).map(|ObjectOnly(value)| value)
}

struct ObjectOnly<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ObjectOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(ObjectOnly)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

fn problem(path: &str, error: &serde_json::Error) -> BodyProblem {
    // serde_json adds the position to the text; it has fields of its own here.
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    match error.classify() {
        Category::Data => BodyProblem::Schema { field: field_of(path, &message), message },
        Category::Io | Category::Syntax | Category::Eof => {
            BodyProblem::Malformed { message, line: error.line(), column: error.column() }
        }
    }
}

/// The path of the field that `message` is about. Of a missing field serde knows the parent's path only.
fn field_of(path: &str, message: &str) -> String {
    let parent = if path == "." { "" } else { path };
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match (parent, missing) {
        ("", None) => ".".to_owned(),
        ("", Some(name)) => name.to_owned(),
        (parent, None) => parent.to_owned(),
        (parent, Some(name)) => format!("{parent}.{name}"),
    }
}
