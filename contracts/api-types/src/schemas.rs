//! Schemas that say more than the types: bounds of what is inside a map or a list.

use utoipa::openapi::{
    Array, ArrayBuilder, Object, ObjectBuilder,
    schema::{AdditionalProperties, Schema, Type},
};

use crate::request::limits;

/// Of `metadata`.
pub(crate) fn metadata() -> Schema {
    let name = text(1, limits::METADATA_BYTES_MAX);
    let value = text(0, limits::METADATA_BYTES_MAX);
    let object = ObjectBuilder::new()
        .property_names(Some(Schema::Object(name)))
        .additional_properties(Some(AdditionalProperties::from(Schema::Object(value))))
        .max_properties(Some(limits::METADATA_KEYS_MAX))
        .description(Some(
            "At most 16 keys; keys and values of at most 512 bytes. Shown with the task.",
        ));
    Schema::Object(object.build())
}

/// Of `sampling.stop`.
pub(crate) fn stop() -> Array {
    ArrayBuilder::new()
        .items(text(1, limits::STOP_BYTES_MAX))
        .max_items(Some(limits::STOP_MAX))
        .description(Some(
            "At most 16 strings of 1 to 256 bytes; generation ends before the first one.",
        ))
        .build()
}

fn text(min: usize, max: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(min))
        .max_length(Some(max))
        .build()
}
