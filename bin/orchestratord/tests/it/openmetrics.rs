//! Reading a page of metrics.

use std::collections::BTreeMap;

use crate::daemon::Daemon;

/// Label values by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// A page of OpenMetrics text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    /// Type of each family, by its name without `_total` or `_info`.
    pub(crate) types: BTreeMap<String, String>,
    /// Name, labels and value of each sample, in order.
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

impl Page {
    #[track_caller]
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let answer = daemon.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(media_type));
        Self::read(answer.text())
    }

    fn read(text: &str) -> Self {
        let mut page = Self { types: BTreeMap::new(), samples: Vec::new() };
        let lines = text.strip_suffix("# EOF\n").expect("a page ends with its mark").lines();
        for line in lines {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                let (family, kind) = described.split_once(' ').unwrap();
                let former = page.types.insert(family.to_owned(), kind.to_owned());
                assert_eq!(former, None, "{family} stands once");
            } else if !line.starts_with('#') {
                page.samples.push(sample(line));
            }
        }
        page
    }

    /// The sum of the samples with this name and these labels, among others.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is_meant = |(known, given, _): &&(String, Labels, f64)| {
            known == name
                && labels
                    .iter()
                    .all(|(label, value)| given.get(*label).is_some_and(|given| given == value))
        };
        self.samples.iter().filter(is_meant).map(|(_, _, value)| value).sum()
    }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap();
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), Labels::new(), value);
    };
    let labels = labels.strip_suffix('}').unwrap();
    // No value in these tests has a comma or a quote in it.
    let pairs = labels.split(',').map(|pair| {
        let (label, value) = pair.split_once('=').unwrap_or_else(|| panic!("{line}"));
        (label.to_owned(), value.trim_matches('"').to_owned())
    });
    (name.to_owned(), pairs.collect(), value)
}
