//! From headers to a context. What is no id in a format is passed over, as a request without it
//! would be served, too.

use http::HeaderValue;
use percent_encoding::percent_decode_str;

use super::context::{Context, SpanId, TraceId};
use super::format::Format;
use crate::HeaderMap;

/// What a client may pass along with a trace, at most: names and their values.
const MOST_BAGGAGE: usize = 64;

/// The context that headers of a format tell; none where they tell nothing.
pub(super) fn extract(format: Format, headers: &HeaderMap) -> Option<Context> {
    match format {
        Format::W3c => w3c(headers),
        Format::B3 | Format::B3Single => b3(headers),
        Format::Jaeger => jaeger(headers),
        Format::Ot => ot(headers),
        Format::Datadog => datadog(headers),
        Format::Aws => aws(headers),
        Format::Gcp => gcp(headers),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Bytes of hexadecimal digits, of which there are so many at most.
fn bytes(digits: &str, most: usize) -> Option<Vec<u8>> {
    let is_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if digits.is_empty() || digits.len() > most || !is_digits {
        return None;
    }
    let mut bytes = Vec::with_capacity(most / 2);
    let (first, rest) = digits.split_at(digits.len() % 2);
    if !first.is_empty() {
        bytes.push(u8::from_str_radix(first, 16).ok()?);
    }
    for at in (0..rest.len()).step_by(2) {
        bytes.push(u8::from_str_radix(rest.get(at..at + 2)?, 16).ok()?);
    }
    Some(bytes)
}

fn trace_id(digits: &str) -> Option<TraceId> {
    TraceId::of(&bytes(digits, 32)?)
}

/// An id of a trace in 16 or 32 digits.
fn whole_trace_id(digits: &str) -> Option<TraceId> {
    trace_id(digits).filter(|_| matches!(digits.len(), 16 | 32))
}

fn span_id(digits: &str) -> Option<SpanId> {
    let id = bytes(digits, 16)?;
    let mut whole = [0; 8];
    whole.get_mut(8 - id.len()..)?.copy_from_slice(&id);
    Some(whole)
}

/// An id of a span in 16 digits.
fn whole_span_id(digits: &str) -> Option<SpanId> {
    span_id(digits).filter(|_| digits.len() == 16)
}

fn decimal(digits: &str) -> Option<u64> {
    let is_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
    is_digits.then(|| digits.parse().ok()).flatten()
}

fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|byte| *byte == 0)
}

fn yes_or_no(value: Option<&str>) -> Option<bool> {
    match value? {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn baggage(headers: &HeaderMap, prefix: &str) -> Vec<(String, String)> {
    let named = headers.lines().filter_map(|line| {
        let (start, name) = line.name().as_bytes().split_at_checked(prefix.len())?;
        if !start.eq_ignore_ascii_case(prefix.as_bytes()) {
            return None;
        }
        let name = str::from_utf8(name).ok()?.to_ascii_lowercase();
        let value = HeaderValue::from_bytes(line.value()).ok()?;
        let value = percent_decode_str(value.to_str().ok()?);
        Some((name, value.decode_utf8_lossy().into_owned()))
    });
    named.take(MOST_BAGGAGE).collect()
}

fn w3c(headers: &HeaderMap) -> Option<Context> {
    let mut parts = text(headers, "traceparent")?.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version != "00" || parts.next().is_some() || flags.len() != 2 {
        return None;
    }
    let trace_id = trace_id(trace).filter(|id| trace.len() == 32 && !is_zero(&id.bytes))?;
    let span_id = whole_span_id(parent).filter(|id| !is_zero(id))?;
    let flags = *bytes(flags, 2)?.first()?;
    Some(Context {
        trace_id: Some(trace_id),
        span_id: Some(span_id),
        sampled: Some(flags & 1 == 1),
        ..Context::default()
    })
}

fn b3(headers: &HeaderMap) -> Option<Context> {
    let in_state = || {
        let states = headers.get_all("tracestate").iter();
        let mut states = states.filter_map(|state| state.to_str().ok());
        states.find_map(|state| state.strip_prefix("b3="))
    };
    let single = text(headers, "b3").or_else(in_state);
    let mut context = single.and_then(b3_single).unwrap_or_default();
    let several = b3_several(headers);
    context.sampled = context.sampled.or(several.sampled);
    context.debug |= several.debug;
    if context.trace_id.is_none() {
        context.trace_id = several.trace_id;
        context.span_id = several.span_id;
        context.parent_id = several.parent_id;
    }
    if context.trace_id.is_none() {
        context.span_id = None;
        context.parent_id = None;
    }
    let tells = context.trace_id.is_some() || context.sampled.is_some() || context.debug;
    context.shared = true;
    tells.then_some(context)
}

fn b3_single(header: &str) -> Option<Context> {
    let sampled = |word| match word {
        "1" => Some((Some(true), false)),
        "d" => Some((Some(true), true)),
        "0" => Some((Some(false), false)),
        _ => None,
    };
    let mut context = Context {
        single: true,
        ..Context::default()
    };
    let mut parts = header.split('-');
    let (first, second) = (parts.next()?, parts.next());
    let Some(span) = second else {
        (context.sampled, context.debug) = sampled(first)?;
        return Some(context);
    };
    context.trace_id = Some(whole_trace_id(first)?);
    context.span_id = Some(whole_span_id(span)?);
    if let Some(word) = parts.next() {
        (context.sampled, context.debug) = sampled(word)?;
    }
    if let Some(parent) = parts.next() {
        context.parent_id = Some(whole_span_id(parent)?);
    }
    parts.next().is_none().then_some(context)
}

/// One id that is none spoils them all.
fn b3_several(headers: &HeaderMap) -> Context {
    let debug = text(headers, "x-b3-flags") == Some("1");
    let sampled = yes_or_no(text(headers, "x-b3-sampled"));
    let told = Context {
        sampled: if debug { Some(true) } else { sampled },
        debug,
        ..Context::default()
    };
    let ids = || {
        let span = |name| text(headers, name).map(|id| whole_span_id(id).ok_or(()));
        let trace = text(headers, "x-b3-traceid").map(|id| whole_trace_id(id).ok_or(()));
        Ok::<_, ()>(Context {
            trace_id: trace.transpose()?,
            span_id: span("x-b3-spanid").transpose()?,
            parent_id: span("x-b3-parentspanid").transpose()?,
            ..told.clone()
        })
    };
    ids().unwrap_or(told.clone())
}

fn jaeger(headers: &HeaderMap) -> Option<Context> {
    let mut parts = text(headers, "uber-trace-id")?.split(':');
    let (trace, span, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some(Context {
        trace_id: Some(trace_id(trace).filter(|id| !is_zero(&id.bytes))?),
        span_id: Some(span_id(span).filter(|id| !is_zero(id))?),
        parent_id: span_id(parent).filter(|id| !is_zero(id)),
        sampled: Some(bytes(flags, 2)?.first()? & 1 == 1),
        shared: true,
        baggage: baggage(headers, "uberctx-"),
        ..Context::default()
    })
}

fn ot(headers: &HeaderMap) -> Option<Context> {
    let trace = text(headers, "ot-tracer-traceid").map(whole_trace_id);
    let span = text(headers, "ot-tracer-spanid").map(whole_span_id);
    let trace_id = trace.flatten().filter(|_| span != Some(None));
    let sampled = yes_or_no(text(headers, "ot-tracer-sampled"));
    (trace_id.is_some() || sampled.is_some()).then(|| Context {
        trace_id,
        span_id: trace_id.and(span.flatten()),
        sampled,
        baggage: baggage(headers, "ot-baggage-"),
        ..Context::default()
    })
}

fn datadog(headers: &HeaderMap) -> Option<Context> {
    let sampled = match text(headers, "x-datadog-sampling-priority") {
        None => None,
        Some("1" | "2") => Some(true),
        Some("0" | "-1") => Some(false),
        Some(_) => return None,
    };
    let id = |name| text(headers, name).and_then(|id| decimal(id.trim()));
    let trace_id = id("x-datadog-trace-id").and_then(|id| TraceId::of(&id.to_be_bytes()));
    let span_id = trace_id.and(id("x-datadog-parent-id"));
    (trace_id.is_some() || sampled.is_some()).then(|| Context {
        trace_id,
        span_id: span_id.map(u64::to_be_bytes),
        sampled,
        ..Context::default()
    })
}

fn aws(headers: &HeaderMap) -> Option<Context> {
    let mut context = Context::default();
    for pair in text(headers, "x-amzn-trace-id")?.split(';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let value = value.trim();
        match name.trim() {
            "Root" => {
                let (time, unique) = value.strip_prefix("1-")?.split_once('-')?;
                if time.len() != 8 || unique.len() != 24 {
                    return None;
                }
                context.trace_id = Some(trace_id(&format!("{time}{unique}"))?);
            }
            "Parent" => context.span_id = Some(whole_span_id(value)?),
            "Sampled" => context.sampled = Some(yes_or_no(Some(value))?),
            _ => {}
        }
    }
    (context != Context::default()).then_some(context)
}

fn gcp(headers: &HeaderMap) -> Option<Context> {
    let (trace, rest) = text(headers, "x-cloud-trace-context")?.split_once('/')?;
    let (span, options) = match rest.split_once(";o=") {
        Some((span, options)) => (span, Some(options)),
        None => (rest, None),
    };
    let is_lower = !trace.bytes().any(|digit| digit.is_ascii_uppercase());
    let is_option = |options: &str| options.len() == 1 && decimal(options).is_some();
    if trace.len() != 32 || !is_lower || !options.is_none_or(is_option) {
        return None;
    }
    Some(Context {
        trace_id: Some(trace_id(trace)?),
        span_id: Some(decimal(span)?.to_be_bytes()),
        sampled: Some(options == Some("1")),
        ..Context::default()
    })
}
