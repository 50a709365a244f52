//! What tells the requests apart whose responses are kept.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use http::Version;

use super::handler::ProxyCache;
use crate::arguments::Arguments;
use crate::{Exchange, HeaderMap};

/// SHA-256 of what tells requests apart, in hexadecimal digits.
pub(super) type Key = String;

/// The key of a request.
pub(super) fn of(cache: &ProxyCache, exchange: &Exchange<'_>) -> Key {
    let mut text = Vec::with_capacity(256);
    write_scope(exchange, &mut text);
    text.push(b'|');
    text.extend_from_slice(exchange.method.as_str().as_bytes());
    text.push(b'|');
    let line = text.len();
    write_line(exchange, &mut text);
    if cache.ignore_case {
        text[line..].make_ascii_lowercase();
    }
    text.push(b'|');
    write_arguments(cache, exchange, &mut text);
    text.push(b'|');
    write_headers(cache, &exchange.headers, &mut text);
    let mut key = String::with_capacity(64);
    for byte in digest(&SHA256, &text).as_ref() {
        for digit in [byte >> 4, byte & 15] {
            key.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    key
}

fn write_scope(exchange: &Exchange<'_>, text: &mut Vec<u8>) {
    let Some(route) = exchange.route else {
        text.extend_from_slice(b"default");
        return;
    };
    if let Some(consumer) = exchange.consumer {
        text.extend_from_slice(consumer.id.to_string().as_bytes());
        text.push(b':');
    }
    text.extend_from_slice(route.id.to_string().as_bytes());
}

/// The request line up to the query.
fn write_line(exchange: &Exchange<'_>, text: &mut Vec<u8>) {
    text.extend_from_slice(exchange.method.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(exchange.raw_path.as_bytes());
    if exchange.query.is_none() {
        text.extend_from_slice(match exchange.version {
            Version::HTTP_10 => b" HTTP/1.0",
            Version::HTTP_2 => b" HTTP/2.0",
            _ => b" HTTP/1.1",
        });
    }
}

fn write_arguments(cache: &ProxyCache, exchange: &Exchange<'_>, text: &mut Vec<u8>) {
    let query = exchange.query.as_deref().unwrap_or_default();
    let arguments = Arguments::parse(query.as_bytes());
    let mut names: Vec<&[u8]> = if cache.vary_arguments.is_empty() {
        arguments.iter().map(|(name, _)| name).collect()
    } else {
        cache.vary_arguments.iter().map(String::as_bytes).collect()
    };
    if cache.vary_arguments.is_empty() {
        names.sort_unstable();
        names.dedup();
    }
    let mut fields = Fields::new(text);
    for name in names {
        let values = arguments.values(name).map(Option::as_deref);
        fields.write(name, values.collect());
    }
}

fn write_headers(cache: &ProxyCache, headers: &HeaderMap, text: &mut Vec<u8>) {
    let mut fields = Fields::new(text);
    for name in &cache.vary_headers {
        let dashed: Cow<'_, str> = match name.contains('_') {
            true => name.replace('_', "-").into(),
            false => name.into(),
        };
        let values = headers.get_all(&*dashed).iter();
        let values = values.map(|value| Some(value.as_bytes()));
        fields.write(name.as_bytes(), values.collect());
    }
}

/// Writes `name=value:name=value,value`.
struct Fields<'t> {
    text: &'t mut Vec<u8>,
    first: bool,
}

impl<'t> Fields<'t> {
    fn new(text: &'t mut Vec<u8>) -> Self {
        Self { text, first: true }
    }

    /// Writes one field; nothing for one without values.
    fn write(&mut self, name: &[u8], mut values: Vec<Option<&[u8]>>) {
        if values.is_empty() {
            return;
        }
        if !std::mem::take(&mut self.first) {
            self.text.push(b':');
        }
        self.text.extend_from_slice(name);
        if values == [None] {
            return;
        }
        values.sort_unstable();
        let mut between = b'=';
        for value in values {
            self.text.push(between);
            self.text.extend_from_slice(value.unwrap_or(b"true"));
            between = b',';
        }
    }
}
