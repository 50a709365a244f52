//! Bodies of the type `multipart/form-data`, read and changed in place.

use memchr::memmem;

/// A form whose parts keep the bytes that they came with.
#[derive(Debug)]
pub(crate) struct Multipart<'a> {
    boundary: &'a str,
    parts: Vec<Part<'a>>,
}

#[derive(Debug)]
struct Part<'a> {
    name: Option<String>,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    /// Headers, blank line and value, as received.
    Received { all: &'a [u8], value: &'a [u8] },
    /// A value that the gateway set.
    Set(Vec<u8>),
}

impl<'a> Multipart<'a> {
    /// Reads a body. `None` when the content type names no boundary.
    pub(crate) fn parse(content_type: &'a str, body: &'a [u8]) -> Option<Self> {
        let boundary = boundary(content_type)?;
        let delimiter = format!("--{boundary}");
        let mut parts = Vec::new();
        let mut starts = memmem::find_iter(body, delimiter.as_bytes())
            .filter(|at| *at == 0 || body[..*at].ends_with(b"\n"))
            .peekable();
        while let Some(start) = starts.next() {
            let rest = &body[start + delimiter.len()..];
            if rest.starts_with(b"--") {
                break;
            }
            let end = starts.peek().map_or(body.len(), |next| *next);
            let inside = trim_line_end(skip_line(&body[start + delimiter.len()..end]));
            parts.push(Part::parse(inside));
        }
        Some(Self { boundary, parts })
    }

    /// Values of one name.
    pub(crate) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.parts
            .iter()
            .filter(move |part| part.name.as_deref() == Some(name))
            .map(Part::value)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Names and values of all named parts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.parts
            .iter()
            .filter_map(|part| Some((part.name.as_deref()?, part.value())))
    }

    /// Drops all parts of one name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.parts.retain(|part| part.name.as_deref() != Some(name));
    }

    /// Adds a part at the end.
    pub(crate) fn push(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.parts.push(Part {
            name: Some(name.to_owned()),
            content: Content::Set(value.into()),
        });
    }

    /// Writes the form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for part in &self.parts {
            body.extend_from_slice(b"--");
            body.extend_from_slice(self.boundary.as_bytes());
            body.extend_from_slice(b"\r\n");
            match &part.content {
                Content::Received { all, .. } => body.extend_from_slice(all),
                Content::Set(value) => {
                    let name = part.name.as_deref().unwrap_or_default();
                    body.extend_from_slice(b"Content-Disposition: form-data; name=\"");
                    // A quote or a line end would break out of the header.
                    let name = name.replace('"', "%22").replace(['\r', '\n'], " ");
                    body.extend_from_slice(name.as_bytes());
                    body.extend_from_slice(b"\"\r\n\r\n");
                    body.extend_from_slice(value);
                }
            }
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--");
        body.extend_from_slice(self.boundary.as_bytes());
        body.extend_from_slice(b"--\r\n");
        body
    }
}

impl<'a> Part<'a> {
    fn parse(all: &'a [u8]) -> Self {
        let (head, value) = match memmem::find(all, b"\r\n\r\n") {
            _ if all.starts_with(b"\r\n") => (&all[..0], &all[2..]),
            Some(at) => (&all[..at], &all[at + 4..]),
            None => (all, &all[all.len()..]),
        };
        Self {
            name: name(head),
            content: Content::Received { all, value },
        }
    }

    fn value(&self) -> &[u8] {
        match &self.content {
            Content::Received { value, .. } => value,
            Content::Set(value) => value,
        }
    }
}

/// The name in the part's `Content-Disposition`.
fn name(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let disposition = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| field.trim().eq_ignore_ascii_case("content-disposition"))?
        .1;
    parameter(disposition, "name").map(str::to_owned)
}

fn boundary(content_type: &str) -> Option<&str> {
    parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty())
}

/// A parameter of a header value such as `form-data; name="a"`.
fn parameter<'h>(value: &'h str, wanted: &str) -> Option<&'h str> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (found, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim(), &after[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(found);
        }
        rest = next.trim_start().strip_prefix(';')?;
    }
}

/// What follows the rest of the delimiter's line.
fn skip_line(bytes: &[u8]) -> &[u8] {
    match memchr::memchr(b'\n', bytes) {
        Some(at) => &bytes[at + 1..],
        None => &bytes[bytes.len()..],
    }
}

fn trim_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XbX";
    const BODY: &[u8] = b"--XbX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --XbX\r\ncontent-disposition: form-data; filename=\"f;x\"; name=b\r\n\
        Content-Type: text/plain\r\n\r\ntwo\r\nlines\r\n--XbX--\r\n";

    fn form(body: &[u8]) -> Multipart<'_> {
        Multipart::parse(TYPE, body).unwrap()
    }

    #[test]
    fn an_unchanged_form_is_written_as_it_came() {
        assert_eq!(form(BODY).encode(), BODY);
    }

    #[test]
    fn parts_are_found_by_name() {
        let form = form(BODY);
        let parts: Vec<_> = form.iter().collect();
        assert_eq!(parts, [("a", &b"1"[..]), ("b", &b"two\r\nlines"[..])]);
        assert!(!form.contains("c"));
    }

    #[test]
    fn parts_are_removed_and_added() {
        let mut form = form(BODY);
        form.remove("b");
        form.push("c\"\r\n", "3");
        let written = b"--XbX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
            --XbX\r\nContent-Disposition: form-data; name=\"c%22  \"\r\n\r\n3\r\n--XbX--\r\n";
        assert_eq!(form.encode(), written);
    }

    #[test]
    fn a_boundary_may_be_quoted_and_must_be_there() {
        assert_eq!(
            boundary("multipart/form-data; boundary=\"a b\""),
            Some("a b")
        );
        assert_eq!(boundary("multipart/form-data; x=1; BOUNDARY=b"), Some("b"));
        assert_eq!(boundary("multipart/form-data"), None);
    }

    #[test]
    fn a_body_that_never_ends_keeps_its_last_part() {
        let form = form(b"--XbX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1");
        assert_eq!(form.values("a").next(), Some(&b"1"[..]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_body_makes_it_panic(
            body in proptest::collection::vec(
                proptest::sample::select(vec!["--XbX", "--", "\r\n", "\n", "name=\"a\"", ":", ";", "x",
                    "Content-Disposition: form-data; name=\"b\""]),
                0..24,
            ),
            kind in "multipart/form-data[; =\"a-z]{0,16}",
        ) {
            let body = body.concat();
            if let Some(mut form) = Multipart::parse(TYPE, body.as_bytes()) {
                form.remove("a");
                form.push("z", "1");
                let written = form.encode();
                prop_assert!(Multipart::parse(TYPE, &written).unwrap().contains("z"));
            }
            let _ = Multipart::parse(&kind, body.as_bytes());
        }
    }
}
