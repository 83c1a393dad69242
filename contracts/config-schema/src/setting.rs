use std::net::SocketAddr;

use camino::Utf8PathBuf;

use crate::tree::Value;

/// What a key's value must fulfil beside its type.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    Any,
    /// A number within these bounds, both included.
    Within(i64, i64),
    /// A text of this form; the error says what is allowed.
    Form(fn(&str) -> Result<(), &'static str>),
}

/// What is wrong with a value, or with one item of it.
pub(crate) struct Wrong {
    pub(crate) item: Option<usize>,
    pub(crate) message: String,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>) -> Vec<Self> {
        vec![Self { item: None, message: message.into() }]
    }
}

/// A type that a key can have.
pub(crate) trait Setting: Sized {
    fn read(value: &Value, check: Check) -> Result<Self, Vec<Wrong>>;
}

fn whole_number(value: &Value, check: Check) -> Result<i64, Vec<Wrong>> {
    let (low, high) = match check {
        Check::Within(low, high) => (low, high),
        Check::Any | Check::Form(_) => (0, i64::MAX),
    };
    let number = match value {
        Value::Whole(number) => Some(*number),
        Value::Untyped(text) => text.parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (low..=high).contains(number))
        .ok_or_else(|| Wrong::new(format!("allowed is a whole number from {low} to {high}")))
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {
        $(impl Setting for $number {
            fn read(value: &Value, check: Check) -> Result<Self, Vec<Wrong>> {
                let number = whole_number(value, check)?;
                Self::try_from(number).map_err(|_too_large| {
                    Wrong::new(format!("allowed is a whole number up to {}", Self::MAX))
                })
            }
        })*
    };
}
whole_numbers!(u16, u32, u64, usize);

impl Setting for bool {
    fn read(value: &Value, _: Check) -> Result<Self, Vec<Wrong>> {
        match value {
            Value::Truth(truth) => Ok(*truth),
            Value::Untyped(text) if text == "true" => Ok(true),
            Value::Untyped(text) if text == "false" => Ok(false),
            _ => Err(Wrong::new("allowed are true and false")),
        }
    }
}

impl Setting for String {
    fn read(value: &Value, check: Check) -> Result<Self, Vec<Wrong>> {
        let text = text_of(value).ok_or_else(|| Wrong::new("allowed is a text in quotes"))?;
        if let Check::Form(form) = check {
            form(text).map_err(|allowed| Wrong::new(format!("allowed is {allowed}")))?;
        }
        Ok(text.to_owned())
    }
}

impl Setting for Utf8PathBuf {
    fn read(value: &Value, _: Check) -> Result<Self, Vec<Wrong>> {
        match text_of(value) {
            Some(text) if text.starts_with('~') => {
                Err(Wrong::new("allowed is a path written out; `~` is not replaced"))
            }
            Some(text) if !text.is_empty() && !text.contains('\0') => Ok(text.into()),
            _ => Err(Wrong::new("allowed is a path in quotes")),
        }
    }
}

impl Setting for SocketAddr {
    fn read(value: &Value, _: Check) -> Result<Self, Vec<Wrong>> {
        text_of(value).and_then(|text| text.parse().ok()).ok_or_else(|| {
            Wrong::new("allowed is an IP address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"")
        })
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(value: &Value, check: Check) -> Result<Self, Vec<Wrong>> {
        T::read(value, check).map(Some)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(value: &Value, check: Check) -> Result<Self, Vec<Wrong>> {
        let results: Vec<Result<T, Vec<Wrong>>> = match value {
            Value::List(items) => items.iter().map(|item| T::read(&item.value, check)).collect(),
            Value::Untyped(text) if text.trim().is_empty() => Vec::new(),
            Value::Untyped(text) => text
                .split(',')
                .map(|item| T::read(&Value::Untyped(item.trim().to_owned()), check))
                .collect(),
            _ => return Err(Wrong::new("allowed is a list in brackets")),
        };
        let mut items = Vec::new();
        let mut wrongs = Vec::new();
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(item) => items.push(item),
                Err(wrong) => wrongs
                    .extend(wrong.into_iter().map(|wrong| Wrong { item: Some(index), ..wrong })),
            }
        }
        if wrongs.is_empty() { Ok(items) } else { Err(wrongs) }
    }
}

pub(crate) fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Untyped(text) => Some(text),
        _ => None,
    }
}
