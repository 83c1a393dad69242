use std::fmt;

use jsonschema::{Draft, Validator};
use serde_json::Value;

use crate::finding::CriticOutput;
use crate::status::OutputProblem;

/// Problems listed per output; a broken output can have one per byte.
const MAX_PROBLEMS: usize = 100;

/// A JSON Schema that is ready to use.
pub(crate) struct CompiledSchema {
    validator: Validator,
}

impl CompiledSchema {
    /// Compiles a schema of draft 2020-12. References to other documents are refused.
    pub(crate) fn compile(schema: &Value) -> Result<Self, String> {
        let options =
            jsonschema::options().with_draft(Draft::Draft202012).with_retriever(NoDocuments);
        options.build(schema).map(|validator| Self { validator }).map_err(|error| error.to_string())
    }

    /// What is wrong with an output, as JSON.
    pub(crate) fn problems(&self, output: &CriticOutput) -> Vec<OutputProblem> {
        match serde_json::to_value(output) {
            Ok(value) => {
                let errors = self.validator.iter_errors(&value).take(MAX_PROBLEMS);
                errors
                    .map(|error| {
                        OutputProblem::new(error.instance_path().as_str(), error.to_string())
                    })
                    .collect()
            }
            Err(error) => {
                vec![OutputProblem::new("", format!("cannot be written as JSON: {error}"))]
            }
        }
    }
}

impl fmt::Debug for CompiledSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompiledSchema")
    }
}

/// Fetches nothing, whatever other users of the library have switched on.
struct NoDocuments;

impl jsonschema::Retrieve for NoDocuments {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Err(format!("references to other documents are refused: {uri}").into())
    }
}
