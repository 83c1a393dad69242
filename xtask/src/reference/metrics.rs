use serde_json::Value;

use super::page::{Page, code, codes, text};

/// `docs/reference/metrics.md`, from the list of metrics.
#[must_use]
pub fn metrics(list: &Value) -> String {
    let mut page = Page::new(
        "Metrics",
        "Every metric at `/metrics`, which speaks OpenMetrics. What to watch, and what bad values mean, is in \
         [the operations guide](../guides/operations.md).",
    );
    let rows: Vec<Vec<String>> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|metric| {
            vec![
                code(text(metric, "name")),
                text(metric, "type").to_owned(),
                codes(&metric["labels"]),
                text(metric, "help").to_owned(),
            ]
        })
        .collect();
    page.table(&["name", "type", "labels", "meaning"], &rows);
    page.heading("Buckets of the histograms");
    let bounded =
        list.as_array().into_iter().flatten().filter(|metric| metric["buckets"].is_array());
    let rows: Vec<Vec<String>> = bounded
        .map(|metric| {
            let bounds = metric["buckets"].as_array().into_iter().flatten();
            let bounds: Vec<String> = bounds.map(ToString::to_string).collect();
            vec![code(text(metric, "name")), bounds.join(", ")]
        })
        .collect();
    page.table(&["name", "upper bounds"], &rows);
    page.finish()
}
