//! From a context to headers.

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::context::{Context, SpanId, TraceId, hexadecimal};
use super::format::Format;
use crate::HeaderMap;

/// What stands unescaped in what is passed along with a trace, besides letters and digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Sets the headers of a format; the id of the trace as they tell it, where the context has one.
/// Nothing is set where the format demands an id and there is none.
pub(super) fn inject(format: Format, context: &Context, headers: &mut HeaderMap) -> Option<String> {
    let ids = context.trace_id.zip(context.span_id);
    match format {
        Format::W3c => {
            let (trace, span) = ids?;
            let trace = trace.sized(16);
            let sampled = flag(context, "01", "00");
            let span = hexadecimal(span);
            set(
                headers,
                "traceparent",
                format!("00-{trace}-{span}-{sampled}"),
            );
            Some(trace.to_string())
        }
        Format::B3 => Some(b3(context, headers)),
        Format::B3Single => Some(b3_single(context, headers)),
        Format::Jaeger => {
            let (trace, span) = ids?;
            let trace = sized(trace, &[16, 8]);
            let parent = context.parent_id.map_or("0".to_owned(), hexadecimal);
            let (span, sampled) = (hexadecimal(span), flag(context, "01", "00"));
            set(
                headers,
                "uber-trace-id",
                format!("{trace}:{span}:{parent}:{sampled}"),
            );
            pass_along(headers, context, "uberctx-");
            Some(trace.to_string())
        }
        Format::Ot => {
            let (trace, span) = ids?;
            let trace = sized(trace, &[8, 16]);
            set(headers, "ot-tracer-traceid", trace.to_string());
            set(headers, "ot-tracer-spanid", hexadecimal(span));
            if context.sampled.is_some() {
                set(
                    headers,
                    "ot-tracer-sampled",
                    flag(context, "1", "0").to_owned(),
                );
            }
            pass_along(headers, context, "ot-baggage-");
            Some(trace.to_string())
        }
        Format::Datadog => {
            let trace = context.trace_id.map(|trace| number(trace).to_string());
            if let Some(trace) = &trace {
                set(headers, "x-datadog-trace-id", trace.clone());
            }
            if let Some(span) = context.span_id {
                let span = u64::from_be_bytes(span).to_string();
                set(headers, "x-datadog-parent-id", span);
            }
            if context.sampled.is_some() {
                let sampled = flag(context, "1", "0").to_owned();
                set(headers, "x-datadog-sampling-priority", sampled);
            }
            trace
        }
        Format::Aws => {
            let (trace, span) = ids?;
            let trace = trace.sized(16).to_string();
            let (time, unique) = trace.split_at(8);
            let (span, sampled) = (hexadecimal(span), flag(context, "1", "0"));
            let value = format!("Root=1-{time}-{unique};Parent={span};Sampled={sampled}");
            set(headers, "x-amzn-trace-id", value);
            Some(trace)
        }
        Format::Gcp => {
            let (trace, span) = ids?;
            let trace = trace.sized(16);
            let (span, sampled) = (u64::from_be_bytes(span), flag(context, "1", "0"));
            set(
                headers,
                "x-cloud-trace-context",
                format!("{trace}/{span};o={sampled}"),
            );
            Some(trace.to_string())
        }
    }
}

fn b3(context: &Context, headers: &mut HeaderMap) -> String {
    let trace = context.trace_id.map(|trace| sized(trace, &[16, 8]));
    if let (Some(trace), Some(span)) = (trace, context.span_id) {
        set(headers, "x-b3-traceid", trace.to_string());
        set(headers, "x-b3-spanid", hexadecimal(span));
        if let Some(parent) = context.parent_id {
            set(headers, "x-b3-parentspanid", hexadecimal(parent));
        }
    }
    if context.debug {
        set(headers, "x-b3-flags", "1".to_owned());
    } else {
        set(headers, "x-b3-sampled", flag(context, "1", "0").to_owned());
    }
    trace.map_or(String::new(), |trace| trace.to_string())
}

fn b3_single(context: &Context, headers: &mut HeaderMap) -> String {
    let sampled = match (context.debug, context.sampled) {
        (true, _) => Some("d"),
        (false, Some(true)) => Some("1"),
        (false, Some(false)) => Some("0"),
        (false, None) => None,
    };
    let trace = context.trace_id.map(|trace| sized(trace, &[16, 8]));
    let value = match (trace, context.span_id) {
        (Some(trace), Some(span)) => {
            let parts = [
                Some(trace.to_string()),
                Some(hexadecimal(span)),
                sampled.map(str::to_owned),
                context.parent_id.map(hexadecimal),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join("-")
        }
        _ => sampled.unwrap_or("0").to_owned(),
    };
    set(headers, "b3", value);
    trace.map_or(String::new(), |trace| trace.to_string())
}

fn flag(context: &Context, yes: &'static str, no: &'static str) -> &'static str {
    if context.sampled == Some(true) {
        yes
    } else {
        no
    }
}

/// With as many bytes as it came with, if the format allows for that; else with as many as the
/// format has rather.
fn sized(id: TraceId, allowed: &[usize]) -> TraceId {
    let rather = allowed.first().copied().unwrap_or(16);
    let size = if allowed.contains(&id.size) {
        id.size
    } else {
        rather
    };
    id.sized(size)
}

/// The last bytes of an id.
fn number(id: TraceId) -> u64 {
    let mut last: SpanId = [0; 8];
    last.copy_from_slice(&id.bytes[8..]);
    u64::from_be_bytes(last)
}

fn pass_along(headers: &mut HeaderMap, context: &Context, prefix: &str) {
    for (name, value) in &context.baggage {
        let name = HeaderName::try_from(format!("{prefix}{name}"));
        let value = utf8_percent_encode(value, ESCAPED).to_string();
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
