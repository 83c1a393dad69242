use schemars::generate::SchemaSettings;

use crate::Config;

/// The JSON Schema (draft 2020-12) of the configuration file. Equal builds give equal bytes.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "Configuration of orchestratord".into());
    schema.to_value()
}
