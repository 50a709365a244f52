//! The spans of a request, in the JSON of Zipkin's second version.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smallvec::SmallVec;
use uuid::Uuid;

use crate::logging::json;
use crate::traces::context::{SpanId, TraceId, write_hexadecimal};

/// A span.
#[derive(Clone, Debug)]
pub(super) struct Span<'s> {
    pub(super) trace_id: TraceId,
    pub(super) name: Name<'s>,
    pub(super) parent_id: Option<SpanId>,
    pub(super) id: SpanId,
    /// `SERVER` or `CLIENT`.
    pub(super) kind: &'static str,
    /// When it began and ended.
    pub(super) lasted: (SystemTime, SystemTime),
    /// The name of who tells.
    pub(super) local: &'s str,
    pub(super) remote: RemoteEndpoint<'s>,
    pub(super) tags: Tags<'s>,
    pub(super) annotations: SmallVec<[Annotation; 6]>,
}

/// What a span is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'s> {
    pub(super) method: &'s str,
    /// Told where the configuration says so.
    pub(super) path: Option<&'s str>,
    pub(super) part: Part,
}

/// The part of a request that a span is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Request,
    Proxy,
    /// An attempt to call an upstream, by its number.
    Attempt(usize),
}

/// Who was talked to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RemoteEndpoint<'s> {
    pub(super) service_name: Option<&'s str>,
    pub(super) address: Option<(IpAddr, u16)>,
}

/// A point in time that means something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Annotation {
    pub(super) value: &'static str,
    pub(super) at: SystemTime,
}

/// Names and values, in the order of the names; cheap where they come in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tags<'s>(SmallVec<[(&'s str, Value<'s>); 12]>);

/// The value of a tag.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'s> {
    Text(&'s str),
    Id(Uuid),
    Number(u64),
}

impl<'s> Tags<'s> {
    /// Adds a tag, in place of the one of the same name.
    pub(super) fn set(&mut self, name: &'s str, value: Value<'s>) {
        let tags = &mut self.0;
        if tags.last().is_none_or(|(last, _)| *last < name) {
            tags.push((name, value));
            return;
        }
        match tags.binary_search_by(|(other, _)| (*other).cmp(name)) {
            Ok(at) => tags[at].1 = value,
            Err(at) => tags.insert(at, (name, value)),
        }
    }

    /// Adds a tag that is a text.
    pub(super) fn text(&mut self, name: &'s str, value: &'s str) {
        self.set(name, Value::Text(value));
    }

    /// Appends those that tell something; Zipkin refuses others.
    fn write(&self, out: &mut Vec<u8>) {
        let mut before: &[u8] = br#","tags":{"#;
        for (name, value) in &self.0 {
            if matches!(value, Value::Text("")) {
                continue;
            }
            out.extend_from_slice(before);
            before = b",";
            json::text(out, name.as_bytes());
            out.push(b':');
            match value {
                Value::Text(value) => json::text(out, value.as_bytes()),
                Value::Id(value) => json::id(out, *value),
                Value::Number(value) => {
                    out.push(b'"');
                    json::number(out, *value);
                    out.push(b'"');
                }
            }
        }
        if before == b"," {
            out.push(b'}');
        }
    }
}

impl Name<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let (space, path) = self.path.map_or(("", ""), |path| (" ", path));
        let mut number = itoa::Buffer::new();
        let (part, number, end) = match self.part {
            Part::Request => ("", "", ""),
            Part::Proxy => (" (proxy)", "", ""),
            Part::Attempt(at) => (" (balancer try ", number.format(at), ")"),
        };
        json::texts(out, &[self.method, space, path, part, number, end]);
    }
}

impl RemoteEndpoint<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        if self.service_name.is_none() && self.address.is_none() {
            out.extend_from_slice(b"null");
            return;
        }
        let mut before = b'{';
        if let Some(name) = self.service_name {
            out.extend_from_slice(br#"{"serviceName":"#);
            json::text(out, name.as_bytes());
            before = b',';
        }
        if let Some((ip, port)) = self.address {
            out.push(before);
            out.extend_from_slice(match ip {
                IpAddr::V4(_) => br#""ipv4":"#,
                IpAddr::V6(_) => br#""ipv6":"#,
            });
            json::address(out, ip);
            out.extend_from_slice(br#","port":"#);
            json::number(out, port);
        }
        out.push(b'}');
    }
}

impl Span<'_> {
    /// Appends it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"traceId":"#);
        hexadecimal(self.trace_id.as_bytes(), out);
        out.extend_from_slice(br#","name":"#);
        self.name.write(out);
        if let Some(parent) = &self.parent_id {
            out.extend_from_slice(br#","parentId":"#);
            hexadecimal(parent, out);
        }
        out.extend_from_slice(br#","id":"#);
        hexadecimal(&self.id, out);
        out.extend_from_slice(br#","kind":""#);
        out.extend_from_slice(self.kind.as_bytes());
        let [start, end] = [self.lasted.0, self.lasted.1].map(microseconds);
        out.extend_from_slice(br#"","timestamp":"#);
        json::number(out, start);
        out.extend_from_slice(br#","duration":"#);
        json::number(out, end.saturating_sub(start));
        out.extend_from_slice(br#","localEndpoint":{"serviceName":"#);
        json::text(out, self.local.as_bytes());
        out.extend_from_slice(br#"},"remoteEndpoint":"#);
        self.remote.write(out);
        self.tags.write(out);
        let mut before: &[u8] = br#","annotations":["#;
        for annotation in &self.annotations {
            out.extend_from_slice(before);
            before = b",";
            out.extend_from_slice(br#"{"value":""#);
            out.extend_from_slice(annotation.value.as_bytes());
            out.extend_from_slice(br#"","timestamp":"#);
            json::number(out, microseconds(annotation.at));
            out.push(b'}');
        }
        if !self.annotations.is_empty() {
            out.push(b']');
        }
        out.push(b'}');
    }
}

fn hexadecimal(id: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    write_hexadecimal(id, out);
    out.push(b'"');
}

/// Microseconds since 1970.
fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_in_the_order_of_their_names_and_the_last_value_counts() {
        let mut tags = Tags::default();
        for (name, value) in [("b", "1"), ("d", ""), ("c", "2"), ("a", "3"), ("b", "4")] {
            tags.text(name, value);
        }
        let mut out = Vec::new();
        tags.write(&mut out);
        assert_eq!(out, br#","tags":{"a":"3","b":"4","c":"2"}"#);
        Tags::default().write(&mut out);
        assert!(out.ends_with(b"}"));
    }
}
