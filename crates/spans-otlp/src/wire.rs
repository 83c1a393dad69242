use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span as ProtoSpan, Status, span::SpanKind, status::StatusCode,
    },
};
use orchestrator::{Span, Stage};

/// What the spans come from, as the collector is told.
const SERVICE: &str = "orchestratord";

pub(crate) fn span(span: &Span<'_>) -> ProtoSpan {
    let place = span.place;
    let end = span.began.saturating_add(span.took);
    let attributes = [
        span.task.map(|task| text("orchd.task_id", &task.to_string())),
        span.model.map(|model| text("orchd.model", model)),
        span.pool_id.map(|pool_id| text("orchd.pool_id", pool_id)),
        span.attempt.map(|attempt| number("orchd.attempt", attempt)),
        span.tokens.map(|tokens| number("orchd.tokens_out", tokens)),
        span.failure.map(|failure| text("error.type", failure)),
    ];
    ProtoSpan {
        trace_id: place.trace_number().to_be_bytes().to_vec(),
        span_id: place.span_number().to_be_bytes().to_vec(),
        parent_span_id: span.parent_span.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        name: span.stage.name().to_owned(),
        kind: kind(span.stage).into(),
        start_time_unix_nano: nanos(span.began),
        end_time_unix_nano: nanos(end),
        attributes: attributes.into_iter().flatten().collect(),
        status: span
            .failure
            .map(|failure| Status { message: failure.to_owned(), code: StatusCode::Error.into() }),
        ..ProtoSpan::default()
    }
}

/// One request with these spans.
pub(crate) fn request(spans: Vec<ProtoSpan>, service_version: &str) -> ExportTraceServiceRequest {
    let attributes = vec![text("service.name", SERVICE), text("service.version", service_version)];
    let scope =
        InstrumentationScope { name: SERVICE.to_owned(), ..InstrumentationScope::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

/// Admission answers a client, dispatch and stream ask an engine, the rest happens here.
fn kind(stage: Stage) -> SpanKind {
    match stage {
        Stage::Admission => SpanKind::Server,
        Stage::Queue | Stage::Placement => SpanKind::Internal,
        Stage::Dispatch | Stage::Stream => SpanKind::Client,
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    of_value(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    of_value(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn of_value(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanos(since_1970: Duration) -> u64 {
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}
