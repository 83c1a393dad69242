use std::fmt;

use serde_json::{Map, Value};

use crate::{RequestProblem, fields::Fields};

/// The value of a parameter that asks for what happens anyway.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Neutral {
    None,
    False,
    Number(u64),
    Text(&'static str),
    /// An empty list or object.
    Empty,
    /// `["text"]`.
    TextList,
}

/// Refuses the parameters in `not_served` unless they ask for nothing.
pub(crate) fn refuse_unserved(
    fields: &mut Fields,
    not_served: &[(&'static str, Neutral)],
) -> Result<(), RequestProblem> {
    for (name, neutral) in not_served {
        if fields.take_without_effect(name).is_some_and(|value| !neutral.is(&value)) {
            return Err(RequestProblem::param(*name, neutral.to_string()));
        }
    }
    Ok(())
}

impl Neutral {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::None => false,
            Self::False => *value == Value::Bool(false),
            Self::Number(number) => value.as_u64() == Some(number),
            Self::Text(text) => value.as_str() == Some(text),
            Self::Empty => {
                value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(Map::is_empty)
            }
            Self::TextList => {
                value.as_array().is_some_and(|list| matches!(&list[..], [one] if one == "text"))
            }
        }
    }
}

impl fmt::Display for Neutral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not served; remove it")?;
        match self {
            Self::None => Ok(()),
            Self::False => f.write_str(" or give false"),
            Self::Number(number) => write!(f, " or give {number}"),
            Self::Text(text) => write!(f, " or give \"{text}\""),
            Self::Empty => f.write_str(" or leave it empty"),
            Self::TextList => f.write_str(" or give [\"text\"]"),
        }
    }
}
