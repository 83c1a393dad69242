use api_types::InvalidField;
use axum::http::HeaderMap;

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
