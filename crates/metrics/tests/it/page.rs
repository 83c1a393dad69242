use std::{sync::Arc, time::Duration};

use metrics::{
    Counter, Declaration, Exposed, Family, Histogram, LABEL_VALUES_MAX, LabelValues, Sampled, Unit,
    list, write_page,
};
use serde_json::json;

static DONE: Declaration =
    Declaration::counter("x_tasks_done_total", &["model", "state"], "Tasks that are done.");
static WAITED: Declaration =
    Declaration::seconds("x_waited_seconds", &["model"], &[0.01, 0.1, 1.0], "How long.");
static BYTES: Declaration =
    Declaration::gauge("x_store_bytes", Some(Unit::Bytes), &["kind"], "Bytes on disk.");
static DEPTH: Declaration = Declaration::gauge("x_depth", None, &["model"], "Tasks that wait.");
static BUILD: Declaration = Declaration::info("x_build_info", &["version"], "Which build.");
static LOST: Declaration = Declaration::counter("x_lost_total", &[], "Lost ones.");

fn page(family: impl Exposed) -> String {
    write_page(vec![Box::new(family)]).unwrap()
}

/// Verifies: ORCH-261
#[test]
fn a_page_is_openmetrics_text_with_units_and_totals() {
    let values = Arc::new(LabelValues::default());
    let done = Family::<Counter>::new(&DONE, &values);
    done.of(&["m", "succeeded"]).add(2);
    done.of(&["say \"hi\"\n", "failed"]).add(1);
    assert_eq!(
        page(done),
        "# HELP x_tasks_done Tasks that are done.\n# TYPE x_tasks_done counter\n\
         x_tasks_done_total{model=\"m\",state=\"succeeded\"} 2\n\
         x_tasks_done_total{model=\"say \\\"hi\\\"\\n\",state=\"failed\"} 1\n# EOF\n"
    );
    let waited = Family::<Histogram>::new(&WAITED, &values);
    waited.of(&["m"]).observe(Duration::from_millis(10));
    waited.of(&["m"]).observe(Duration::from_millis(11));
    waited.of(&["m"]).add(&[1, 0, 0, 2], Duration::from_secs(4));
    assert_eq!(
        page(waited),
        "# HELP x_waited_seconds How long.\n# TYPE x_waited_seconds histogram\n\
         # UNIT x_waited_seconds seconds\n\
         x_waited_seconds_sum{model=\"m\"} 4.021\nx_waited_seconds_count{model=\"m\"} 5\n\
         x_waited_seconds_bucket{le=\"0.01\",model=\"m\"} 2\n\
         x_waited_seconds_bucket{le=\"0.1\",model=\"m\"} 3\n\
         x_waited_seconds_bucket{le=\"1.0\",model=\"m\"} 3\n\
         x_waited_seconds_bucket{le=\"+Inf\",model=\"m\"} 5\n# EOF\n"
    );
    let bytes = Sampled::new(&BYTES, &values, [(vec!["events"], 7.0)]);
    assert!(page(bytes).contains("\nx_store_bytes{kind=\"events\"} 7.0\n"));
    let build = Sampled::new(&BUILD, &values, [(vec!["1.2"], 1.0)]);
    assert!(page(build).contains("# TYPE x_build info\nx_build_info{version=\"1.2\"} 1\n"));
}

/// Verifies: ORCH-261
#[test]
fn a_family_without_series_is_described_and_one_without_labels_starts_at_zero() {
    let values = Arc::new(LabelValues::default());
    let done = page(Family::<Counter>::new(&DONE, &values));
    assert_eq!(
        done,
        "# HELP x_tasks_done Tasks that are done.\n# TYPE x_tasks_done counter\n# EOF\n"
    );
    assert!(page(Family::<Counter>::new(&LOST, &values)).contains("\nx_lost_total 0\n"));
}

/// Verifies: ORCH-265
#[test]
fn ten_thousand_names_give_two_hundred_series_and_one_for_the_rest() {
    let values = Arc::new(LabelValues::default());
    let done = Arc::new(Family::<Counter>::new(&DONE, &values));
    let waited = Arc::new(Family::<Histogram>::new(&WAITED, &values));
    for number in 0..10_000 {
        let name = format!("model-{number}");
        done.of(&[&name, "succeeded"]).add(1);
        waited.of(&[&name]).observe(Duration::from_millis(1));
    }
    let text = write_page(vec![Box::new(Arc::clone(&done)), Box::new(waited)]).unwrap();
    let series = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
    assert_eq!(series("x_tasks_done_total{"), LABEL_VALUES_MAX + 1);
    assert_eq!(series("x_waited_seconds_count{"), LABEL_VALUES_MAX + 1);
    assert!(text.contains("x_tasks_done_total{model=\"other\",state=\"succeeded\"} 9800\n"));
    assert!(text.contains("x_tasks_done_total{model=\"model-199\",state=\"succeeded\"} 1\n"));
    // Whoever was told apart stays so, and whoever was not does not become it.
    done.of(&["model-0", "succeeded"]).add(1);
    done.of(&["model-9999", "succeeded"]).add(1);
    let text = page(done);
    assert!(text.contains("x_tasks_done_total{model=\"model-0\",state=\"succeeded\"} 2\n"));
    assert!(text.contains("x_tasks_done_total{model=\"other\",state=\"succeeded\"} 9801\n"));
}

/// Verifies: ORCH-265, ORCH-261
#[test]
fn what_is_looked_up_is_bounded_too_and_a_page_takes_up_no_names() {
    let values = Arc::new(LabelValues::default());
    let done = Family::<Counter>::new(&DONE, &values);
    done.of(&["known", "succeeded"]).add(1);
    let names: Vec<String> = (0..10_000).map(|number| format!("model-{number}")).collect();
    let depths = || {
        let samples = names.iter().map(|name| (vec![name.as_str()], 1.0));
        page(Sampled::new(&DEPTH, &values, samples.chain([(vec!["known"], 5.0)])))
    };
    let first = depths();
    assert_eq!(first.lines().filter(|line| line.starts_with("x_depth{")).count(), 201);
    assert!(first.contains("x_depth{model=\"known\"} 5.0\n"), "names in use come first");
    assert!(first.contains("x_depth{model=\"other\"} 9801.0\n"));
    assert_eq!(depths(), first);
    // The names on the page took no room from those that are counted.
    done.of(&["model-9999", "failed"]).add(1);
    assert!(page(done).contains("model=\"model-9999\""));
}

/// Verifies: ORCH-265
#[test]
fn a_value_of_any_length_takes_no_more_than_its_bound() {
    let values = Arc::new(LabelValues::default());
    let done = Family::<Counter>::new(&DONE, &values);
    done.of(&[&"x".repeat(1 << 20), "succeeded"]).add(1);
    done.of(&["other", "succeeded"]).add(1);
    assert!(page(done).contains("x_tasks_done_total{model=\"other\",state=\"succeeded\"} 2\n"));
}

/// Verifies: ORCH-265
#[test]
fn the_list_says_name_type_unit_labels_and_help() {
    assert_eq!(
        list(&[&WAITED, &DONE]),
        json!([
            {
                "name": "x_tasks_done_total", "type": "counter", "unit": null,
                "labels": ["model", "state"], "buckets": null, "help": "Tasks that are done.",
            },
            {
                "name": "x_waited_seconds", "type": "histogram", "unit": "seconds",
                "labels": ["model"], "buckets": [0.01, 0.1, 1.0], "help": "How long.",
            },
        ])
    );
}
