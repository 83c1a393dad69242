use api_types::{ErrorCode, Priority};

/// A label's value where there is nothing to say.
pub(crate) const NONE: &str = "none";

pub(crate) fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Interactive => "interactive",
        Priority::Batch => "batch",
    }
}

pub(crate) fn code(code: Option<ErrorCode>) -> &'static str {
    code.map_or(NONE, ErrorCode::name)
}
