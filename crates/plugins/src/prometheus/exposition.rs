//! What was counted, in Prometheus' text format.

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::histogram::Times;
use super::metrics::{Metrics, Place, Sum};
use crate::logging::WORKSPACE_NAME;

impl Metrics {
    /// What was counted, in Prometheus' text format; nothing where the plugin is not configured.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        if self.is_wanted() {
            let families = families(&self.sum());
            if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
                // Only a family without samples or a name is refused, and there is none.
                tracing::error!("the metrics cannot be written: {error}");
            }
        }
        text
    }
}

fn families(sum: &Sum) -> Vec<MetricFamily> {
    let statuses = sum
        .statuses
        .iter()
        .map(|((place, consumer, code, of_upstream), requests)| {
            let code = code.to_string();
            let source = if *of_upstream { "service" } else { "kong" };
            let labels = [
                ("service", &*place.service),
                ("route", &*place.route),
                ("code", &code),
                ("source", source),
                ("workspace", WORKSPACE_NAME),
                ("consumer", consumer),
            ];
            counter(&labels, *requests)
        });
    let bandwidths = sum
        .bandwidths
        .iter()
        .flat_map(|((place, consumer), bytes)| {
            let directions = ["ingress", "egress"].into_iter().zip(bytes);
            directions.map(|(direction, bytes)| {
                let labels = [
                    ("service", &*place.service),
                    ("route", &*place.route),
                    ("direction", direction),
                    ("workspace", WORKSPACE_NAME),
                    ("consumer", consumer),
                ];
                counter(&labels, *bytes)
            })
        });
    let times = |which: usize| {
        let series = sum.latencies.iter();
        series
            .filter_map(|(place, times)| Some(histogram(place, times[which].as_ref()?)))
            .collect()
    };
    let families = [
        family(
            "kong_http_requests_total",
            "Requests by service, route, status and who answered, and by consumer where that is wanted",
            MetricType::COUNTER,
            statuses.collect(),
        ),
        family(
            "kong_bandwidth_bytes",
            "Bytes of requests (ingress) and responses (egress)",
            MetricType::COUNTER,
            bandwidths.collect(),
        ),
        family(
            "kong_kong_latency_ms",
            "Milliseconds that the gateway and its plugins took before the upstream was called, or in all",
            MetricType::HISTOGRAM,
            times(0),
        ),
        family(
            "kong_upstream_latency_ms",
            "Milliseconds until the upstream answered",
            MetricType::HISTOGRAM,
            times(1),
        ),
        family(
            "kong_request_latency_ms",
            "Milliseconds from the head of a request to the end of its response",
            MetricType::HISTOGRAM,
            times(2),
        ),
        family(
            "kong_nginx_metric_errors_total",
            "What could not be counted because there were too many series",
            MetricType::COUNTER,
            vec![counter(&[], sum.errors)],
        ),
    ];
    let known = families.into_iter();
    known
        .filter(|family| !family.get_metric().is_empty())
        .collect()
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metric(labels: &[(&str, &str)]) -> Metric {
    let labels = labels.iter().map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    });
    Metric::from_label(labels.collect())
}

fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = metric(labels);
    metric.set_counter(counter);
    metric
}

fn histogram(place: &Place, times: &Times) -> Metric {
    let mut count = 0;
    let buckets = times
        .bounds
        .iter()
        .zip(&times.buckets)
        .map(|(bound, more)| {
            count += more;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64);
            bucket.set_cumulative_count(count);
            bucket
        });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(times.buckets.iter().sum());
    histogram.set_sample_sum(times.microseconds as f64 / 1000.0);
    let mut metric = metric(&[
        ("service", &*place.service),
        ("route", &*place.route),
        ("workspace", WORKSPACE_NAME),
    ]);
    metric.set_histogram(histogram);
    metric
}
