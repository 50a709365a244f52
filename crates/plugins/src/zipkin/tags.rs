//! Tags that requests bring: `name=value; other=value`.

use crate::HeaderMap;

/// Tags of a request, at most.
const MOST: usize = 64;

/// The tags in a header. What is no tag is passed over.
pub(super) fn read(headers: &HeaderMap, name: &str) -> Vec<(String, String)> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(';'))
        .filter_map(tag)
        .take(MOST)
        .collect()
}

fn tag(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
    (is_name && !value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    #[test]
    fn tags_are_read() {
        let headers = headers(&[
            ("zipkin-tags", "a=1; b = 2 x ;; c; =d; e f=1"),
            ("zipkin-tags", "g=h=i"),
        ]);
        let read = read(&headers, "zipkin-tags");
        let pairs: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "2 x"), ("g", "h=i")]);
    }
}
