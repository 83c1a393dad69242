use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::{Config, pool::EMBEDDED};

/// The JSON Schema (draft 2020-12) of the configuration file. Equal builds give equal bytes.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "Configuration of orchestratord".into());
    let mut schema = schema.to_value();
    let_embedded_be_unnamed(&mut schema);
    schema
}

/// The pool that is there by default need not say what its engine is; the types cannot tell that of one id.
fn let_embedded_be_unnamed(schema: &mut Value) {
    let kinds = schema["$defs"]["Pool"]["oneOf"].as_array().expect("pools are of several kinds");
    let mut embedded = kinds
        .iter()
        .find(|kind| kind["properties"]["engine"]["const"] == "candle")
        .expect("one kind of pool is in the daemon")
        .clone();
    embedded.as_object_mut().expect("a kind of pool is an object").remove("required");
    schema["$defs"]["EmbeddedPool"] = embedded;
    schema["properties"]["pools"]["properties"] = json!({
        EMBEDDED: { "anyOf": [{ "$ref": "#/$defs/EmbeddedPool" }, { "$ref": "#/$defs/Pool" }] }
    });
}
