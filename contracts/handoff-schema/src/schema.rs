use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::HandoffFile;

/// The JSON Schema (draft 2020-12) of a handoff file. Equal builds give equal bytes.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<HandoffFile>();
    schema.insert("title".to_owned(), "Handoff file of an engine".into());
    schema.to_value()
}
