use std::fmt::{self, Write as _};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
    ser::Error as _,
};
use serde_json::value::RawValue;

/// A JSON object that is passed on as it was given: its keys keep their order, which decides in what order
/// engines generate the fields of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = Object))]
pub struct JsonObject(Box<str>);

impl JsonObject {
    /// The object as JSON without white space between its parts.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.to_string()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOnly(String);
        impl<'de> Visitor<'de> for ObjectOnly {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<String, A::Error> {
                Node(&mut self.0).visit_map(map)?;
                Ok(self.0)
            }
        }
        deserializer.deserialize_map(ObjectOnly(String::new())).map(|json| Self(json.into()))
    }
}

/// Writes a value out again while it is read.
struct Node<'a>(&'a mut String);

impl Node<'_> {
    fn put<E: serde::de::Error>(self, value: &impl Serialize) -> Result<(), E> {
        self.0.push_str(&serde_json::to_string(value).map_err(E::custom)?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.0.push_str("null");
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let start = self.0.len();
        while list.next_element_seed(Comma(self.0, start, '['))?.is_some() {}
        close(self.0, start, '[', ']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let start = self.0.len();
        while let Some(key) = map.next_key::<String>()? {
            self.0.push(if self.0.len() == start { '{' } else { ',' });
            let key = serde_json::to_string(&key).map_err(A::Error::custom)?;
            write!(self.0, "{key}:").expect("memory takes it");
            map.next_value_seed(Node(self.0))?;
        }
        close(self.0, start, '{', '}');
        Ok(())
    }
}

/// An element of a list with what stands before it.
struct Comma<'a>(&'a mut String, usize, char);

impl<'de> DeserializeSeed<'de> for Comma<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.push(if self.0.len() == self.1 { self.2 } else { ',' });
        Node(self.0).deserialize(deserializer)
    }
}

fn close(json: &mut String, start: usize, open: char, close: char) {
    if json.len() == start {
        json.push(open);
    }
    json.push(close);
}
