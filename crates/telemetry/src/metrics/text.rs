//! From facts to Prometheus' text format, and from the table to its documentation.

use std::fmt::Write as _;

use prometheus::TextEncoder;
use prometheus::proto::{self, Counter, Gauge, LabelPair, MetricFamily, MetricType};

use super::facts::Facts;
use super::table::{Metric, MetricKind, Samples, metrics};

/// The media type of what [`render`] makes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of a node with these facts.
#[must_use]
pub fn render(facts: &Facts) -> String {
    let families: Vec<MetricFamily> = metrics()
        .iter()
        .filter_map(|metric| family(metric, facts))
        .collect();
    let mut text = String::with_capacity(8192);
    if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
        // Only a family without samples or a name is refused, and there is none.
        tracing::error!("the metrics cannot be written: {error}");
    }
    text
}

/// A metric with its samples; none when nothing of it is known.
fn family(metric: &Metric, facts: &Facts) -> Option<MetricFamily> {
    let mut samples = Samples::default();
    (metric.read)(facts, &mut samples);
    if samples.0.is_empty() {
        return None;
    }
    let sample = |(values, value): (Vec<String>, f64)| {
        let labels = metric.labels.iter().zip(values).map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value(value);
            label
        });
        let mut sample = proto::Metric::from_label(labels.collect());
        match metric.kind {
            MetricKind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
            MetricKind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
        }
        sample
    };
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        MetricKind::Gauge => MetricType::GAUGE,
        MetricKind::Counter => MetricType::COUNTER,
    });
    family.set_metric(samples.0.into_iter().map(sample).collect());
    Some(family)
}

/// Every metric as a row of a table in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in metrics() {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind.as_str(),
            labels.join(", "),
            metric.help
        );
    }
    text
}
