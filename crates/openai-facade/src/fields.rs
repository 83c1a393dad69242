use serde_json::{Map, Value};

use crate::RequestProblem;

/// The fields of an object that are yet to be read. A null counts as absent, as it does in the official
/// API.
pub(crate) struct Fields {
    fields: Map<String, Value>,
    /// Path of the object with a dot behind it; empty for the body.
    path: String,
    /// Names that take effect, where a list of them is kept.
    served: Option<&'static [&'static str]>,
}

impl Fields {
    /// The parameters of a request, of which `served` take effect.
    pub(crate) fn of_body(fields: Map<String, Value>, served: &'static [&'static str]) -> Self {
        Self { fields, path: String::new(), served: Some(served) }
    }

    /// The fields of `value`, which is at `path`.
    pub(crate) fn of(value: Value, path: &str) -> Result<Self, RequestProblem> {
        match value {
            Value::Object(fields) => Ok(Self { fields, path: format!("{path}."), served: None }),
            _ => Err(RequestProblem::param(path, "must be an object")),
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    pub(crate) fn problem(&self, name: &str, message: impl Into<String>) -> RequestProblem {
        RequestProblem::param(self.path(name), message)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let is_listed = self.served.is_none_or(|served| served.contains(&name));
        debug_assert!(is_listed, "{name} takes effect and is not listed");
        self.take_without_effect(name)
    }

    /// Takes a parameter that is ignored or refused.
    pub(crate) fn take_without_effect(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, RequestProblem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.problem(name, "must be a string")),
        }
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Result<bool, RequestProblem> {
        self.optional_boolean(name).map(Option::unwrap_or_default)
    }

    pub(crate) fn optional_boolean(&mut self, name: &str) -> Result<Option<bool>, RequestProblem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.problem(name, "must be true or false")),
        }
    }

    pub(crate) fn unsigned(&mut self, name: &str) -> Result<Option<u64>, RequestProblem> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let wrong = || self.problem(name, "must be a whole number, 0 or more");
        value.as_u64().map(Some).ok_or_else(wrong)
    }

    pub(crate) fn unsigned_32(&mut self, name: &str) -> Result<Option<u32>, RequestProblem> {
        let number = self.unsigned(name)?.map(u32::try_from).transpose();
        number.map_err(|_too_big| self.problem(name, "must be below 2^32"))
    }

    pub(crate) fn unsigned_16(&mut self, name: &str) -> Result<Option<u16>, RequestProblem> {
        let number = self.unsigned(name)?.map(u16::try_from).transpose();
        number.map_err(|_too_big| self.problem(name, "must be below 65536"))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a parameter needs no more than f32")]
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f32>, RequestProblem> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_f64().map(|number| number as f32).filter(|it| it.is_finite());
        number.map(Some).ok_or_else(|| self.problem(name, "must be a number"))
    }

    /// A name that is still there, with anything but null behind it.
    pub(crate) fn next_left(&self) -> Option<&str> {
        let mut left = self.fields.iter().filter(|(_, value)| !value.is_null());
        left.next().map(|(name, _)| name.as_str())
    }
}
