use api_types::InvalidField;
use axum::http::HeaderMap;
use uuid::Uuid;

/// The query part of an address, with known names only.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// A name that is not `known`, or one that stands twice.
    pub(crate) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, InvalidField> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default())
            .map_err(|_form| InvalidField::new("query", "allowed: name=value pairs"))?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let message = format!("unknown; allowed: {}", known.join(", "));
                return Err(InvalidField::new(name.clone(), message));
            }
            if pairs[..index].iter().any(|(other, _)| other == name) {
                return Err(InvalidField::new(name.clone(), "given twice"));
            }
        }
        Ok(Self { pairs })
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A header's value, where it is text.
pub(crate) fn named_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The request's W3C `traceparent` where it is a valid one, else the start of a new trace.
pub(crate) fn traceparent(headers: &HeaderMap) -> String {
    let given = named_header(headers, "traceparent").filter(|text| is_traceparent(text));
    given.map_or_else(new_traceparent, str::to_owned)
}

/// Version 00 of the format: <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &str, digits: usize| {
        let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == digits && part.bytes().all(is_lower)
    };
    let is_set = |part: &str| part.bytes().any(|byte| byte != b'0');
    let [version, trace, span, flags] = parts.as_slice() else { return false };
    *version == "00"
        && is_hex(trace, 32)
        && is_hex(span, 16)
        && is_hex(flags, 2)
        && is_set(trace)
        && is_set(span)
}

fn new_traceparent() -> String {
    // The second half of a UUIDv7 is random and never zero: its variant bits are set.
    let span = Uuid::now_v7().as_u64_pair().1;
    format!("00-{}-{span:016x}-00", Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traceparent_of(text: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", text.parse().unwrap());
        traceparent(&headers)
    }

    /// Verifies: ORCH-006
    #[test]
    fn a_valid_trace_is_continued_and_any_other_is_replaced_by_a_new_one() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent_of(valid), valid);
        let others = [
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "nonsense",
        ];
        for other in others {
            let started = traceparent_of(other);
            assert_ne!(started, other);
            assert!(is_traceparent(&started), "{started}");
        }
        assert_ne!(traceparent(&HeaderMap::new()), traceparent(&HeaderMap::new()));
    }
}
