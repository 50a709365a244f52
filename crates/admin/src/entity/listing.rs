//! Pages of collections: `size`, `offset`, `tags`, and the link to the next page.

use axum::response::Response;
use keelgate_entities::{ApiError, Object};
use keelgate_store::{PageRequest, TagFilter};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::failure::Failure;
use crate::respond;

/// Everything but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Entities per page where the client does not say.
const DEFAULT_SIZE: usize = 100;

/// The page that a request asks for.
pub(super) fn request(call: &Call) -> Result<PageRequest, Failure> {
    Ok(PageRequest {
        size: page_size(call)?,
        offset: call.query("offset").map(str::to_owned),
        parent: None,
        tags: call.query("tags").map(tags).transpose()?,
    })
}

/// Entities per page; the store checks the range.
pub(crate) fn page_size(call: &Call) -> Result<usize, Failure> {
    let mut given = call.queries("size");
    let Some(size) = given.next() else {
        return Ok(DEFAULT_SIZE);
    };
    let number: Option<f64> = size.trim().parse().ok().filter(|_| given.next().is_none());
    match number {
        // A number that is no whole one in range is one that the store refuses.
        Some(size) if size.fract() == 0.0 && size >= 0.0 => Ok(size as usize),
        Some(_) => Ok(0),
        None => Err(ApiError::invalid_size("size must be a number").into()),
    }
}

/// `a,b` asks for all of them, `a/b` for any of them.
fn tags(text: &str) -> Result<TagFilter, Failure> {
    let refuse = |message: &str| Failure::Options {
        option: "tags",
        message: message.to_owned(),
    };
    if text.is_empty() {
        return Err(refuse("cannot be null"));
    }
    let split = |separator: char| text.split(separator).map(str::to_owned).collect();
    // An empty part is allowed at the end only.
    let well_formed = |separator: char| {
        let parts = text.strip_suffix(separator).unwrap_or(text);
        parts.split(separator).all(|part| !part.is_empty())
    };
    match (text.contains(','), text.contains('/')) {
        (_, false) if well_formed(',') => Ok(TagFilter::All(split(','))),
        (false, true) if well_formed('/') => Ok(TagFilter::Any(split('/'))),
        _ => Err(refuse("invalid filter syntax")),
    }
}

/// A text as a part of a link.
pub(crate) fn token(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// What a top-level link repeats of the request.
pub(super) fn repeated(call: &Call) -> String {
    let mut repeated = String::new();
    if let Some(tags) = call.query("tags") {
        repeated.push_str("&tags=");
        repeated.push_str(&token(tags));
    }
    if let Some(size) = call.query("size") {
        repeated.push_str("&size=");
        repeated.push_str(&token(size));
    }
    repeated
}

/// The answer that shows a page. `path` is where the next one is, and `repeated` what its link
/// says besides the offset.
pub(crate) fn answer(
    data: &[impl Serialize],
    offset: Option<&str>,
    path: &str,
    repeated: &str,
) -> Response {
    let mut body = Object::new();
    body.insert("data".to_owned(), json!(data));
    let next = match offset {
        Some(offset) => {
            body.insert("offset".to_owned(), json!(offset));
            json!(format!("{path}?offset={}{repeated}", token(offset)))
        }
        None => Value::Null,
    };
    body.insert("next".to_owned(), next);
    respond::ok(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Option<TagFilter> {
        tags(text).ok()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn commas_ask_for_all_and_slashes_for_any() {
        assert_eq!(filter("a"), Some(TagFilter::All(words(&["a"]))));
        assert_eq!(filter("a,b"), Some(TagFilter::All(words(&["a", "b"]))));
        assert_eq!(filter("a/b"), Some(TagFilter::Any(words(&["a", "b"]))));
        assert_eq!(filter("a,"), Some(TagFilter::All(words(&["a", ""]))));
    }

    #[test]
    fn mixed_and_empty_filters_are_refused() {
        for text in ["", ",", "/", "a,b/c", ",a", "a,,b"] {
            assert_eq!(filter(text), None, "{text}");
        }
    }
}
