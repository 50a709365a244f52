use proptest::prelude::*;
use serde_json::{Value, json};

use super::context::{Context, TraceId};
use super::format::{Format, NAMES};
use super::propagation::{HeaderType, Propagation, Settings};
use crate::testing::{exchange, headers, with_headers};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn format(name: &str) -> Format {
    serde_json::from_value(json!(name)).unwrap()
}

fn propagation(settings: Value, header_type: Value) -> Propagation {
    let settings: Settings = serde_json::from_value(settings).unwrap();
    let header_type: Option<HeaderType> = serde_json::from_value(header_type).unwrap();
    Propagation::new(settings, header_type, None, Format::W3c)
}

/// What is read of headers in one format.
fn read(name: &str, lines: &[(&str, &str)]) -> Option<Context> {
    super::extract::extract(format(name), &headers(lines))
}

/// What is told in one format.
fn told(name: &str, context: &Context) -> Vec<(String, String)> {
    let mut exchange = exchange("GET", "/");
    exchange.headers = headers(&[]);
    let propagation = propagation(json!({"inject": [name]}), Value::Null);
    propagation.inject(&mut exchange, context, None);
    let told = exchange.headers.iter();
    told.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

fn context() -> Context {
    let span = u64::from_str_radix(SPAN, 16).unwrap().to_be_bytes();
    Context {
        trace_id: TraceId::of(&u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes()),
        span_id: Some(span),
        parent_id: Some(1u64.to_be_bytes()),
        sampled: Some(true),
        ..Context::default()
    }
}

#[test]
fn every_format_is_written_as_its_inventor_does() {
    let expect = |name: &str, lines: &[(&str, &str)]| {
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(told(name, &context()), lines, "{name}");
    };
    expect("w3c", &[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))]);
    expect(
        "b3",
        &[
            ("x-b3-traceid", TRACE),
            ("x-b3-spanid", SPAN),
            ("x-b3-parentspanid", "0000000000000001"),
            ("x-b3-sampled", "1"),
        ],
    );
    expect(
        "b3-single",
        &[("b3", &format!("{TRACE}-{SPAN}-1-0000000000000001"))],
    );
    expect(
        "jaeger",
        &[(
            "uber-trace-id",
            &format!("{TRACE}:{SPAN}:0000000000000001:01"),
        )],
    );
    expect(
        "ot",
        &[
            ("ot-tracer-traceid", TRACE),
            ("ot-tracer-spanid", SPAN),
            ("ot-tracer-sampled", "1"),
        ],
    );
    expect(
        "datadog",
        &[
            ("x-datadog-trace-id", "9532127138774266268"),
            ("x-datadog-parent-id", "13235353014750950193"),
            ("x-datadog-sampling-priority", "1"),
        ],
    );
    expect(
        "aws",
        &[(
            "x-amzn-trace-id",
            &format!("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent={SPAN};Sampled=1"),
        )],
    );
    expect(
        "gcp",
        &[(
            "x-cloud-trace-context",
            &format!("{TRACE}/13235353014750950193;o=1"),
        )],
    );
}

#[test]
fn what_is_written_is_read() {
    for name in NAMES {
        let told = told(name, &context());
        let lines: Vec<_> = told.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let read = read(name, &lines).unwrap();
        assert_eq!(read.span_id, context().span_id, "{name}");
        assert_eq!(read.sampled, Some(true), "{name}");
        let trace = read.trace_id.unwrap();
        match name {
            "datadog" => assert_eq!(trace.to_string(), TRACE[16..]),
            _ => assert_eq!(trace.to_string(), TRACE),
        }
    }
}

#[test]
fn what_is_no_id_is_passed_over() {
    let zeros = "0".repeat(32);
    for (name, header, value) in [
        ("w3c", "traceparent", format!("01-{TRACE}-{SPAN}-01")),
        ("w3c", "traceparent", format!("00-{zeros}-{SPAN}-01")),
        ("w3c", "traceparent", format!("00-{TRACE}-{SPAN}-1")),
        ("w3c", "traceparent", format!("00-{TRACE}-{SPAN}-01-x")),
        (
            "w3c",
            "traceparent",
            format!("00-{}g-{SPAN}-01", &TRACE[1..]),
        ),
        ("b3", "b3", format!("{}-{SPAN}", &TRACE[1..])),
        ("b3", "x-b3-traceid", "x".repeat(16)),
        ("jaeger", "uber-trace-id", format!("{TRACE}:0:0:1")),
        ("ot", "ot-tracer-traceid", "1".to_owned()),
        ("datadog", "x-datadog-trace-id", "+1".to_owned()),
        ("aws", "x-amzn-trace-id", "Root=2-1-2".to_owned()),
        ("gcp", "x-cloud-trace-context", format!("{TRACE}/x")),
    ] {
        assert_eq!(read(name, &[(header, &value)]), None, "{value}");
    }
}

#[test]
fn both_ways_of_zipkin_are_read_together() {
    let context = read(
        "b3",
        &[
            ("b3", "d"),
            ("x-b3-traceid", &TRACE[16..]),
            ("x-b3-spanid", SPAN),
        ],
    )
    .unwrap();
    assert!(context.debug && context.single && context.shared);
    assert_eq!(context.trace_id.unwrap().to_string(), TRACE[16..]);
    let state = format!("b3={TRACE}-{SPAN}-0");
    let context = read("b3", &[("tracestate", &state)]).unwrap();
    assert_eq!(context.sampled, Some(false));
    // What belongs to others is theirs.
    assert_eq!(read("b3", &[("tracestate", "other=1")]), None);
}

#[test]
fn what_is_passed_along_goes_on() {
    let lines = [
        ("uber-trace-id", "1:2:0:1"),
        ("uberctx-user", "a%20b"),
        ("other", "x"),
    ];
    let context = read("jaeger", &lines).unwrap();
    assert_eq!(context.baggage, [("user".to_owned(), "a b".to_owned())]);
    let told = told("jaeger", &context);
    assert!(told.contains(&("uberctx-user".to_owned(), "a%20b".to_owned())));
}

#[test]
fn the_first_format_that_is_found_counts_and_is_kept() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let lines = [("traceparent", parent.as_str()), ("b3", "0"), ("gone", "x")];
    let settings = json!({
        "extract": ["jaeger", "b3", "w3c"], "inject": ["preserve", "gcp"], "clear": ["gone"],
        "default_format": "ot",
    });
    let propagation = propagation(settings, json!("preserve"));
    let mut exchange = with_headers(exchange("GET", "/"), &lines);
    let (found, format) = propagation.extract(&exchange);
    assert_eq!((found.sampled, format), (Some(false), Some(Format::B3)));
    propagation.inject(&mut exchange, &context(), format);
    let headers = &exchange.headers;
    assert!(!headers.contains_key("gone"));
    assert!(headers.contains_key("x-cloud-trace-context"));
    assert_eq!(headers["x-b3-traceid"], TRACE);
    assert_eq!(headers["traceparent"], parent.as_str());
}

#[test]
fn older_settings_count_without_newer_ones() {
    let lines = [("uber-trace-id", "1:2:0:1")];
    let exchange = with_headers(exchange("GET", "/"), &lines);
    let default = || json!({"default_format": "w3c"});
    let format = |header_type| propagation(default(), header_type).extract(&exchange).1;
    assert_eq!(format(json!("preserve")), Some(Format::Jaeger));
    assert_eq!(format(json!("b3-single")), Some(Format::Jaeger));
    assert_eq!(format(json!("ignore")), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_header_is_read_without_a_panic(value in "[ -~]{0,80}", at in 0..NAMES.len()) {
        let all = [
            "traceparent", "b3", "x-b3-traceid", "uber-trace-id", "ot-tracer-traceid",
            "x-datadog-trace-id", "x-amzn-trace-id", "x-cloud-trace-context", "tracestate",
        ];
        let lines: Vec<_> = all.iter().map(|name| (*name, value.as_str())).collect();
        read(NAMES[at], &lines);
    }
}
