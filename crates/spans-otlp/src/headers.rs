use reqwest::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, TRANSFER_ENCODING,
};

use crate::OtlpError;

/// What the exporter itself says of its requests.
const OWN: [HeaderName; 6] =
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

/// Reads header fields such as `Authorization: Bearer …`, one a line; empty lines and lines that begin with `#`
/// are left out. Values are marked as sensitive: they are not part of any debug text.
///
/// # Errors
/// A line that is no field, by its number alone, because the line may be a secret.
pub fn read_headers(text: &str) -> Result<HeaderMap, OtlpError> {
    let mut headers = HeaderMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let unfit = |what| OtlpError::Header { line: number, what };
        let (name, value) = line.split_once(':').ok_or_else(|| unfit("it has no colon"))?;
        let name: HeaderName = name
            .trim_end()
            .parse()
            .map_err(|_unfit| unfit("what is before the colon is no name"))?;
        if OWN.contains(&name) {
            return Err(unfit("this field is the exporter's own"));
        }
        let mut value: HeaderValue =
            value.trim().parse().map_err(|_unfit| unfit("the value has control characters"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}
