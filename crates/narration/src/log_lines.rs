use std::fmt::Write as _;

use serde_json::Value;
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::{Masker, fields::Fields};

/// Fields that stand first, in this order (ORCH-266). The first two are there for every line, as `null` where
/// it belongs to no request and no task.
const FIRST: [&str; 20] = [
    "correlation_id",
    "trace_id",
    "task_id",
    "attempt",
    "session_id",
    "model",
    "engine",
    "engine_version",
    "pool_id",
    "replica_id",
    "node_id",
    "queue_position",
    "queue_time_ms",
    "predicted_start_ms",
    "tokens_in",
    "tokens_out",
    "decode_time_ms",
    "error",
    "human",
    "message",
];

/// How many of [`FIRST`] are always there.
const ALWAYS: usize = 2;

/// What an event is called that does not say so itself.
const UNNAMED: &str = "note";

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineForm {
    /// A JSON object per line.
    Json,
    /// Time, level, event and sentence, then `name=value` of the rest.
    Readable,
}

/// A layer that writes each event as one line, with the fields of the spans around it; an event's own field
/// counts before that of a span, an inner span's before that of an outer one. All text is masked.
pub struct LogLines<W> {
    form: LineForm,
    masker: Masker,
    now_ms: fn() -> u64,
    write: W,
}

impl<W: Fn(&[u8]) + 'static> LogLines<W> {
    /// Lines go to `write`, one with its line end at a time; `now_ms` is the wall clock in milliseconds since
    /// 1970.
    pub fn new(form: LineForm, masker: Masker, now_ms: fn() -> u64, write: W) -> Self {
        Self { form, masker, now_ms, write }
    }

    fn time(&self) -> String {
        let ms = i64::try_from((self.now_ms)()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        format!("{time:.3}")
    }
}

impl<S, W> Layer<S> for LogLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&[u8]) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields.visitor(&self.masker));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(&mut fields.visitor(&self.masker));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.merge(of_span);
            }
        }
        event.record(&mut fields.visitor(&self.masker));
        let metadata = event.metadata();
        let named = fields.take("event");
        if named.is_none() {
            fields.set("target", metadata.target().into());
        }
        let line = Line {
            ts: self.time(),
            level: *metadata.level(),
            event: named.unwrap_or_else(|| UNNAMED.into()),
            fields,
        };
        let text = match self.form {
            LineForm::Json => line.json(),
            LineForm::Readable => line.readable(),
        };
        (self.write)(text.as_bytes());
    }
}

struct Line {
    ts: String,
    level: tracing::Level,
    event: Value,
    fields: Fields,
}

impl Line {
    fn json(mut self) -> String {
        let level = self.level.as_str().to_ascii_lowercase();
        let mut text =
            format!("{{\"ts\":\"{}\",\"level\":\"{level}\",\"event\":{}", self.ts, self.event);
        for (place, name) in FIRST.into_iter().enumerate() {
            let value = self.fields.take(name);
            if place < ALWAYS || value.is_some() {
                add(&mut text, name, &value.unwrap_or_default());
            }
        }
        for (name, value) in self.fields.iter() {
            add(&mut text, name, value);
        }
        text.push_str("}\n");
        text
    }

    fn readable(mut self) -> String {
        let mut text = format!("{} {:5} {}", self.ts, self.level, bare(&self.event));
        let sentence = self.fields.take("human");
        let message = self.fields.take("message");
        if let Some(told) = sentence.or(message) {
            text.push_str(": ");
            text.push_str(&bare(&told));
        }
        for (name, value) in self.fields.iter() {
            // Writing into a string cannot fail.
            let _ = write!(text, " {name}={value}");
        }
        text.push('\n');
        text
    }
}

/// Names of fields are Rust names, or such with dots; none needs to be escaped.
fn add(text: &mut String, name: &str, value: &Value) {
    let _ = write!(text, ",\"{name}\":{value}");
}

/// A text without quotes, on one line.
fn bare(value: &Value) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    value.as_str().map_or_else(|| value.to_string(), |text| text.chars().map(plain).collect())
}
