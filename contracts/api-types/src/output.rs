use serde::{Deserialize, Serialize};

use crate::{InvalidField, JsonObject, request::check};

/// Tools of a request.
const TOOLS_MAX: usize = 128;
/// Bytes of all tools, or of a schema, as JSON.
const SCHEMA_BYTES_MAX: usize = 512 * 1024;
/// Answers to one request.
const CHOICES_MAX: u16 = 16;
/// Alternatives told for each token.
const LOGPROBS_MAX: u32 = 20;

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Tool {
    #[serde(rename = "type")]
    pub kind: ToolKind,
    pub function: FunctionTool,
}

/// What kind of tool it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ToolKind {
    #[default]
    Function,
}

/// The function of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FunctionTool {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_-]{1,64}$"))]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<JsonObject>,
    /// Whether arguments must follow the schema exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// Whether the model calls tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(
    untagged,
    expecting = "tool_choice is none, auto, required or {\"type\": \"function\", \"function\": {\"name\": …}}"
)]
pub enum ToolChoice {
    Mode(ToolMode),
    Named(NamedTool),
}

/// Whether the model calls tools of its own choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ToolMode {
    None,
    Auto,
    Required,
}

/// The one tool that the model is to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NamedTool {
    #[serde(rename = "type")]
    pub kind: ToolKind,
    pub function: ToolName,
}

/// A tool by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ToolName {
    pub name: String,
}

/// A call that the model made in an earlier message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: ToolKind,
    pub function: CalledFunction,
}

/// What was called, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CalledFunction {
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}

/// The form that an answer must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ResponseFormat {
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        json_schema: JsonSchemaFormat,
    },
}

/// A schema with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JsonSchemaFormat {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_-]{1,64}$"))]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<JsonObject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// What an answer is to be beyond one plain text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputRequest {
    /// Answers to give; one where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u16>,
    /// Tell each token's log probability, and so many alternatives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
}

impl OutputRequest {
    /// How many answers are wanted.
    #[must_use]
    pub fn choices(&self) -> u16 {
        self.n.unwrap_or(1)
    }

    /// Whether the state of a generation is more than the tokens so far: such an answer is never continued
    /// in its middle (ORCH-101).
    #[must_use]
    pub fn is_constrained(&self) -> bool {
        self.choices() > 1
            || !self.tools.is_empty()
            || self.response_format.as_ref().is_some_and(|format| *format != ResponseFormat::Text)
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidField> {
        check((1..=CHOICES_MAX).contains(&self.choices()), "n", "1 to 16")?;
        check(self.logprobs.is_none_or(|top| top <= LOGPROBS_MAX), "logprobs", "0 to 20")?;
        if let Some(ResponseFormat::JsonSchema { json_schema }) = &self.response_format {
            let field = |name: &str| format!("response_format.json_schema.{name}");
            check(is_name(&json_schema.name), &field("name"), NAME_ALLOWED)?;
            let bytes = json_schema.schema.as_ref().map_or(0, |schema| schema.as_json().len())
                + json_schema.description.as_ref().map_or(0, String::len);
            check(bytes <= SCHEMA_BYTES_MAX, &field("schema"), "at most 512 KiB")?;
        }
        self.validate_tools()
    }

    fn validate_tools(&self) -> Result<(), InvalidField> {
        check(self.tools.len() <= TOOLS_MAX, "tools", "at most 128 tools")?;
        let mut bytes = 0;
        for (index, tool) in self.tools.iter().enumerate() {
            let name = format!("tools[{index}].function.name");
            check(is_name(&tool.function.name), &name, NAME_ALLOWED)?;
            bytes += tool.function.description.as_ref().map_or(0, String::len)
                + tool.function.parameters.as_ref().map_or(0, |schema| schema.as_json().len());
        }
        check(bytes <= SCHEMA_BYTES_MAX, "tools", "at most 512 KiB of descriptions and schemas")?;
        match &self.tool_choice {
            None | Some(ToolChoice::Mode(ToolMode::None)) => {}
            Some(ToolChoice::Mode(ToolMode::Auto | ToolMode::Required)) => {
                check(!self.tools.is_empty(), "tool_choice", "only with `tools`")?;
            }
            Some(ToolChoice::Named(named)) => {
                let is_there =
                    self.tools.iter().any(|tool| tool.function.name == named.function.name);
                check(is_there, "tool_choice", "the name of one of `tools`")?;
            }
        }
        let has_tools = !self.tools.is_empty();
        let is_free = self.parallel_tool_calls.is_none() || has_tools;
        check(is_free, "parallel_tool_calls", "only with `tools`")
    }
}

const NAME_ALLOWED: &str = "1 to 64 of A-Z a-z 0-9 _ -";

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
