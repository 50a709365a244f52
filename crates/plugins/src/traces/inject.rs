//! From a context to headers.

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::context::{Context, SpanId, ToldId, TraceId, write_decimal, write_hexadecimal};
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
pub(super) fn inject(format: Format, context: &Context, headers: &mut HeaderMap) -> Option<ToldId> {
    let ids = context.trace_id.zip(context.span_id);
    match format {
        Format::W3c => {
            let (trace, span) = ids?;
            let trace = trace.sized(16);
            headers.tell("traceparent", |out| {
                out.extend_from_slice(b"00-");
                write_hexadecimal(trace.as_bytes(), out);
                out.push(b'-');
                write_hexadecimal(&span, out);
                out.extend_from_slice(flag(context, b"-01", b"-00"));
            });
            Some(ToldId::Hexadecimal(trace))
        }
        Format::B3 => Some(b3(context, headers)),
        Format::B3Single => Some(b3_single(context, headers)),
        Format::Jaeger => {
            let (trace, span) = ids?;
            let trace = sized(trace, &[16, 8]);
            headers.tell("uber-trace-id", |out| {
                write_hexadecimal(trace.as_bytes(), out);
                out.push(b':');
                write_hexadecimal(&span, out);
                out.push(b':');
                match &context.parent_id {
                    Some(parent) => write_hexadecimal(parent, out),
                    None => out.push(b'0'),
                }
                out.extend_from_slice(flag(context, b":01", b":00"));
            });
            pass_along(headers, context, "uberctx-");
            Some(ToldId::Hexadecimal(trace))
        }
        Format::Ot => {
            let (trace, span) = ids?;
            let trace = sized(trace, &[8, 16]);
            tell_id(headers, "ot-tracer-traceid", trace.as_bytes());
            tell_id(headers, "ot-tracer-spanid", &span);
            if context.sampled.is_some() {
                tell_flag(headers, "ot-tracer-sampled", context);
            }
            pass_along(headers, context, "ot-baggage-");
            Some(ToldId::Hexadecimal(trace))
        }
        Format::Datadog => {
            let trace = context.trace_id.map(number);
            if let Some(trace) = trace {
                headers.tell("x-datadog-trace-id", |out| write_decimal(trace, out));
            }
            if let Some(span) = context.span_id {
                let span = u64::from_be_bytes(span);
                headers.tell("x-datadog-parent-id", |out| write_decimal(span, out));
            }
            if context.sampled.is_some() {
                tell_flag(headers, "x-datadog-sampling-priority", context);
            }
            trace.map(ToldId::Decimal)
        }
        Format::Aws => {
            let (trace, span) = ids?;
            let trace = trace.sized(16);
            let (time, unique) = trace.bytes.split_at(4);
            headers.tell("x-amzn-trace-id", |out| {
                out.extend_from_slice(b"Root=1-");
                write_hexadecimal(time, out);
                out.push(b'-');
                write_hexadecimal(unique, out);
                out.extend_from_slice(b";Parent=");
                write_hexadecimal(&span, out);
                out.extend_from_slice(flag(context, b";Sampled=1", b";Sampled=0"));
            });
            Some(ToldId::Hexadecimal(trace))
        }
        Format::Gcp => {
            let (trace, span) = ids?;
            let trace = trace.sized(16);
            headers.tell("x-cloud-trace-context", |out| {
                write_hexadecimal(trace.as_bytes(), out);
                out.push(b'/');
                write_decimal(u64::from_be_bytes(span), out);
                out.extend_from_slice(flag(context, b";o=1", b";o=0"));
            });
            Some(ToldId::Hexadecimal(trace))
        }
    }
}

fn b3(context: &Context, headers: &mut HeaderMap) -> ToldId {
    let trace = context.trace_id.map(|trace| sized(trace, &[16, 8]));
    if let (Some(trace), Some(span)) = (trace, context.span_id) {
        tell_id(headers, "x-b3-traceid", trace.as_bytes());
        tell_id(headers, "x-b3-spanid", &span);
        if let Some(parent) = context.parent_id {
            tell_id(headers, "x-b3-parentspanid", &parent);
        }
    }
    if context.debug {
        headers.tell("x-b3-flags", |out| out.push(b'1'));
    } else {
        tell_flag(headers, "x-b3-sampled", context);
    }
    trace.map_or(ToldId::None, ToldId::Hexadecimal)
}

fn b3_single(context: &Context, headers: &mut HeaderMap) -> ToldId {
    let sampled = match (context.debug, context.sampled) {
        (true, _) => Some(b'd'),
        (false, Some(true)) => Some(b'1'),
        (false, Some(false)) => Some(b'0'),
        (false, None) => None,
    };
    let trace = context.trace_id.map(|trace| sized(trace, &[16, 8]));
    headers.tell("b3", |out| match (trace, context.span_id) {
        (Some(trace), Some(span)) => {
            write_hexadecimal(trace.as_bytes(), out);
            out.push(b'-');
            write_hexadecimal(&span, out);
            if let Some(sampled) = sampled {
                out.extend_from_slice(&[b'-', sampled]);
            }
            if let Some(parent) = context.parent_id {
                out.push(b'-');
                write_hexadecimal(&parent, out);
            }
        }
        _ => out.push(sampled.unwrap_or(b'0')),
    });
    trace.map_or(ToldId::None, ToldId::Hexadecimal)
}

fn tell_id(headers: &mut HeaderMap, name: &'static str, id: &[u8]) {
    headers.tell(name, |out| write_hexadecimal(id, out));
}

fn tell_flag(headers: &mut HeaderMap, name: &'static str, context: &Context) {
    headers.tell(name, |out| out.extend_from_slice(flag(context, b"1", b"0")));
}

fn flag(context: &Context, yes: &'static [u8], no: &'static [u8]) -> &'static [u8] {
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
