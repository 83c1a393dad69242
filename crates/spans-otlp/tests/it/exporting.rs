use std::{sync::Arc, time::Duration};

use narration::TraceContext;
use opentelemetry_proto::tonic::{common::v1::any_value::Value, trace::v1 as proto};
use orchestrator::{Span, SpanSink as _, Stage};
use spans_otlp::{OtlpExporter, OtlpOptions, OtlpSpans, SpanCounts, export};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::collector::{Act, Collector};

const RECORDED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn span(stage: Stage) -> Span<'static> {
    Span {
        stage,
        place: TraceContext::parse(RECORDED).unwrap(),
        parent_span: Some(7),
        began: Duration::from_millis(1_700_000_000_123),
        took: Duration::from_micros(4_567),
        task: None,
        model: Some("tiny"),
        pool_id: Some("a"),
        attempt: Some(2),
        tokens: Some(9),
        failure: None,
    }
}

fn prepared(options: OtlpOptions) -> (OtlpSpans, OtlpExporter) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    export(options).unwrap()
}

fn options(collector: &Collector) -> OtlpOptions {
    OtlpOptions { endpoint: collector.url.clone(), interval_ms: 1, ..OtlpOptions::default() }
}

struct Running {
    stop: CancellationToken,
    run: JoinHandle<()>,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "the handle is joined at the end of the test")]
    fn start(exporter: OtlpExporter) -> Self {
        let stop = CancellationToken::new();
        Self { run: tokio::spawn(exporter.run(stop.clone())), stop }
    }

    async fn end(self) {
        self.stop.cancel();
        self.run.await.unwrap();
    }
}

/// Waits until this many spans are settled; sent and dropped ones.
async fn settled(counts: &SpanCounts, spans: u64) -> (u64, u64) {
    for _ in 0..10_000 {
        let both = (counts.sent(), counts.dropped());
        if both.0 + both.1 >= spans {
            return both;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never settled: {counts:?}");
}

/// Verifies: ORCH-269
#[tokio::test]
async fn a_collector_gets_each_span_with_what_is_known_of_it() {
    let collector = Collector::start([]).await;
    let (spans, exporter) =
        prepared(OtlpOptions { service_version: "1.2".to_owned(), ..options(&collector) });
    let running = Running::start(exporter);
    spans.ended(&span(Stage::Stream));
    spans.ended(&Span { failure: Some("lost"), parent_span: None, ..span(Stage::Admission) });
    assert_eq!(settled(spans.counts(), 2).await, (2, 0));
    running.end().await;

    let sent = collector.spans();
    let stream = &sent[0];
    assert_eq!(stream.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(stream.span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(stream.parent_span_id, 7_u64.to_be_bytes());
    assert_eq!((stream.name.as_str(), stream.kind()), ("stream", proto::span::SpanKind::Client));
    assert_eq!(stream.start_time_unix_nano, 1_700_000_000_123_000_000);
    assert_eq!(stream.end_time_unix_nano, 1_700_000_000_127_567_000);
    let value = |key: &str| {
        let pair = stream.attributes.iter().find(|pair| pair.key == key).expect(key);
        pair.value.clone().unwrap().value.unwrap()
    };
    assert_eq!(value("orchd.model"), Value::StringValue("tiny".to_owned()));
    assert_eq!(value("orchd.pool_id"), Value::StringValue("a".to_owned()));
    assert_eq!(value("orchd.attempt"), Value::IntValue(2));
    assert_eq!(value("orchd.tokens_out"), Value::IntValue(9));
    assert_eq!(stream.status, None);
    let refused = &sent[1];
    assert!(refused.parent_span_id.is_empty());
    assert_eq!(refused.status.as_ref().unwrap().code(), proto::status::StatusCode::Error);
    let resource = collector.requests()[0].resource_spans[0].resource.clone().unwrap();
    let keys: Vec<&str> = resource.attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(keys, ["service.name", "service.version"]);
}

/// Verifies: ORCH-269
#[tokio::test]
async fn what_is_not_to_be_recorded_is_not_sent() {
    let collector = Collector::start([]).await;
    let (spans, exporter) = prepared(options(&collector));
    let running = Running::start(exporter);
    let unwanted = TraceContext::parse(&RECORDED.replace("-01", "-00")).unwrap();
    spans.ended(&Span { place: unwanted, ..span(Stage::Queue) });
    spans.ended(&span(Stage::Stream));
    assert_eq!(settled(spans.counts(), 1).await, (1, 0));
    running.end().await;
    let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["stream"]);
}

/// Verifies: ORCH-269
#[tokio::test]
async fn spans_travel_in_batches_of_bounded_size() {
    let collector = Collector::start([]).await;
    let (spans, exporter) = prepared(OtlpOptions { batch_max: 3, ..options(&collector) });
    for _ in 0..8 {
        spans.ended(&span(Stage::Queue));
    }
    let running = Running::start(exporter);
    assert_eq!(settled(spans.counts(), 8).await, (8, 0));
    running.end().await;
    let sizes: Vec<usize> = collector
        .requests()
        .iter()
        .map(|request| request.resource_spans[0].scope_spans[0].spans.len())
        .collect();
    assert_eq!(sizes, [3, 3, 2]);
}

/// Verifies: ORCH-269
#[tokio::test]
async fn a_full_queue_drops_and_counts_without_waiting() {
    let collector = Collector::start([]).await;
    let (spans, exporter) = prepared(OtlpOptions { queue_max: 5, ..options(&collector) });
    // Nobody takes anything out yet.
    for _ in 0..12 {
        spans.ended(&span(Stage::Queue));
    }
    assert_eq!(spans.counts().dropped(), 7);
    let running = Running::start(exporter);
    assert_eq!(settled(spans.counts(), 12).await, (5, 7));
    running.end().await;
    // Nobody will.
    spans.ended(&span(Stage::Queue));
    assert_eq!(spans.counts().dropped(), 8);
}

/// Verifies: ORCH-269
#[tokio::test]
async fn what_may_be_taken_later_is_sent_again_and_what_is_refused_is_not() {
    let collector = Collector::start([Act::Answer(503), Act::Take, Act::Answer(400)]).await;
    let (spans, exporter) = prepared(options(&collector));
    let running = Running::start(exporter);
    spans.ended(&span(Stage::Queue));
    assert_eq!(settled(spans.counts(), 1).await, (1, 0));
    spans.ended(&span(Stage::Stream));
    assert_eq!(settled(spans.counts(), 2).await, (1, 1));
    running.end().await;
    assert_eq!(collector.requests().len(), 3);
}

#[tokio::test]
async fn spans_that_a_collector_does_not_want_count_as_dropped() {
    let collector = Collector::start([Act::TakeBut(1)]).await;
    let (spans, exporter) = prepared(OtlpOptions { batch_max: 3, ..options(&collector) });
    for _ in 0..3 {
        spans.ended(&span(Stage::Queue));
    }
    let running = Running::start(exporter);
    assert_eq!(settled(spans.counts(), 3).await, (2, 1));
    running.end().await;
}

/// Verifies: ORCH-269
#[tokio::test]
async fn told_to_end_it_sends_what_waits() {
    let collector = Collector::start([]).await;
    let hour = 3_600_000;
    let (spans, exporter) = prepared(OtlpOptions { interval_ms: hour, ..options(&collector) });
    let running = Running::start(exporter);
    for _ in 0..4 {
        spans.ended(&span(Stage::Queue));
    }
    running.end().await;
    assert_eq!((spans.counts().sent(), spans.counts().dropped()), (4, 0));
    assert_eq!(collector.spans().len(), 4);
}

/// Verifies: ORCH-269
#[tokio::test]
async fn what_is_on_its_way_when_it_is_told_to_end_is_sent_once() {
    let collector = Collector::start([Act::TakeLate]).await;
    let (spans, exporter) = prepared(OtlpOptions { flush_ms: 60_000, ..options(&collector) });
    let running = Running::start(exporter);
    spans.ended(&span(Stage::Queue));
    collector.asked().await;
    spans.ended(&span(Stage::Stream));
    running.stop.cancel();
    // By then it knows that it is to end.
    tokio::task::yield_now().await;
    collector.let_go_on();
    running.end().await;
    assert_eq!((spans.counts().sent(), spans.counts().dropped()), (2, 0));
    assert_eq!(collector.requests().len(), 2);
    assert_eq!(collector.spans().len(), 2);
}

/// Verifies: ORCH-269
#[tokio::test]
async fn the_pause_before_another_try_ends_when_it_is_told_to_end() {
    let collector = Collector::start([Act::Answer(503)]).await;
    let (spans, exporter) = prepared(OtlpOptions { flush_ms: 60_000, ..options(&collector) });
    let running = Running::start(exporter);
    spans.ended(&span(Stage::Queue));
    collector.asked().await;
    running.end().await;
    assert_eq!((spans.counts().sent(), spans.counts().dropped()), (1, 0));
    assert_eq!(collector.requests().len(), 2);
}

/// Verifies: ORCH-269
#[tokio::test]
async fn a_collector_that_hangs_does_not_keep_it_from_ending() {
    let collector = Collector::start([Act::Hang, Act::Hang, Act::Hang]).await;
    let (spans, exporter) = prepared(OtlpOptions {
        batch_max: 2,
        timeout_ms: 3_600_000,
        flush_ms: 20,
        ..options(&collector)
    });
    let running = Running::start(exporter);
    for _ in 0..6 {
        spans.ended(&span(Stage::Queue));
    }
    collector.asked().await;
    // It waits for an hour otherwise.
    running.end().await;
    assert_eq!((spans.counts().sent(), spans.counts().dropped()), (0, 6));
}

/// Verifies: ORCH-269
#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let gone = Collector::start([]).await;
    let options = OtlpOptions { flush_ms: 20, queue_max: 4, ..options(&gone) };
    drop(gone);
    let (spans, exporter) = prepared(options);
    let running = Running::start(exporter);
    for _ in 0..100 {
        spans.ended(&span(Stage::Queue));
    }
    running.end().await;
    assert_eq!((spans.counts().sent(), spans.counts().dropped()), (0, 100));
}

#[test]
fn an_endpoint_is_an_address_without_credentials() {
    for wrong in ["", "127.0.0.1:4318", "ftp://x", "http://u:p@x", "http://x/?a=b", "http://x#y"] {
        let options = OtlpOptions { endpoint: wrong.to_owned(), ..OtlpOptions::default() };
        let error = export(options).map(drop).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:4318"), "{wrong}: {error}");
    }
}

#[test]
fn counts_are_shared_by_all_that_take_spans() {
    let (spans, exporter) = prepared(OtlpOptions::default());
    drop(exporter);
    let clone = spans.clone();
    clone.ended(&span(Stage::Queue));
    assert!(Arc::ptr_eq(spans.counts(), clone.counts()));
    assert_eq!(spans.counts().dropped(), 1);
}
