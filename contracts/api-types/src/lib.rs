//! Types of the native API under `/v2`: requests, answers, events and errors, as they stand on the wire.
//!
//! Invariants: one error shape ([`ErrorBody`]) for answers and for the `error` event; durations end in
//! `_ms`, sizes in `_bytes`, instants in `_at` (RFC 3339, UTC). Clients ignore response fields and event
//! types that they do not know, and read words that they do not know as [`Reported`]; requests with unknown
//! fields are refused.

mod catalog;
mod error;
mod error_guide;
mod event;
mod json_object;
mod meta;
mod models;
mod operation;
mod output;
mod parse;
mod placement;
mod reported;
mod request;
#[cfg(feature = "openapi")]
mod schemas;
mod status;
mod task;

pub use catalog::{
    AddModelRequest, AliasRequest, AliasView, AvailabilityView, CatalogFileView, CatalogModelView,
    ModelState, ModelStateRequest, NodeHolding, PoolHolding, SbomView, SignatureView,
};
pub use error::{ErrorBody, ErrorCode};
pub use error_guide::ErrorGuide;
pub use event::{
    Alternative, EndEvent, EventKind, MetricsEvent, StartedEvent, TokenEvent, TokenLogprob,
    ToolDelta,
};
pub use json_object::JsonObject;
pub use meta::{
    CapabilitiesView, LimitsView, ModelCapabilities, PoolCapabilities, RateLimitsView, VersionView,
};
pub use models::{ModelList, ModelView};
pub use operation::{OperationAccepted, OperationProgress, OperationStatus, OperationView};
pub use output::{
    CalledFunction, FunctionTool, JsonSchemaFormat, NamedTool, OutputRequest, ResponseFormat, Tool,
    ToolCall, ToolChoice, ToolKind, ToolMode, ToolName,
};
pub use parse::{BodyProblem, parse_json};
pub use placement::{CandidateView, DecisionView, PlacementMode, PlacementRequest};
pub use reported::{
    Reported, ReportedAccepted, ReportedBegun, ReportedCancel, ReportedCode, ReportedError,
    ReportedMetrics, ReportedModel, ReportedOperation, ReportedPreparation, ReportedStep,
    ReportedTask, Word,
};
pub use request::{
    Content, ContentPart, Determinism, Failover, ImageDetail, ImageUrl, InvalidField,
    MessageRequest, Priority, SamplingRequest, TaskRequest, Workload, limits,
};
pub use status::{PoolStatus, QueueStatus, ReadyView, StatusView};
pub use task::{
    AheadView, AttemptView, CancelAnswer, EstimateView, Links, Page, PreparationStep,
    PreparationView, StepStatus, TaskAccepted, TaskState, TaskView, Usage, WaitingView,
};
