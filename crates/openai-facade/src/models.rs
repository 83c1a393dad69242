use serde::Serialize;

/// The answer of `GET /v1/models/{id}`, and an entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelObject {
    /// What a request's `model` takes.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// Always `local`: the models are those of this installation.
    pub owned_by: &'static str,
}

/// The answer of `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelListObject {
    /// Always `list`.
    pub object: &'static str,
    pub data: Vec<ModelObject>,
}

impl ModelObject {
    /// The model `id`, known since `created_s` (seconds since 1970).
    #[must_use]
    pub fn new(id: impl Into<String>, created_s: u64) -> Self {
        Self { id: id.into(), object: "model", created: created_s, owned_by: "local" }
    }
}

impl FromIterator<ModelObject> for ModelListObject {
    fn from_iter<I: IntoIterator<Item = ModelObject>>(models: I) -> Self {
        Self { object: "list", data: models.into_iter().collect() }
    }
}
