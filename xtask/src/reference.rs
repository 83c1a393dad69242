//! The pages under `docs/reference/`, made from the contracts: functions of JSON documents to Markdown.

mod api;
mod configuration;
mod errors;
mod metrics;
mod page;

pub use api::api;
pub use configuration::configuration;
pub use errors::errors;
pub use metrics::metrics;
