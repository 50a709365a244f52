//! A header that is sent with every request.

use std::fmt;

use super::{Context, Invalid, Kind, Secret, Setting};

/// `Name: value`. The value may be a credential and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpHeader {
    name: String,
    value: Secret,
}

impl HttpHeader {
    /// The name, as it was written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Secret {
        &self.value
    }
}

impl fmt::Debug for HttpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ******", self.name)
    }
}

/// Headers that the reader sets itself, or that would break the request.
const TAKEN: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "if-none-match",
    "if-modified-since",
    "range",
    "accept-encoding",
];

impl Setting for HttpHeader {
    const KIND: Kind = Kind::Special("a header, Name: value");
    const SECRET: bool = true;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let mend = "write NAME: VALUE, such as Authorization: Bearer TOKEN";
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| Invalid::new("has no ':' between a header's name and value", mend))?;
        let (name, value) = (name.trim(), value.trim());
        let is_token = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if !is_token {
            return Err(Invalid::new("does not begin with a header's name", mend));
        }
        if TAKEN.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Invalid::new(
                format!("the header {name} cannot be set"),
                "name another header, such as Authorization",
            ));
        }
        let is_value = !value.is_empty()
            && value
                .bytes()
                .all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
        if !is_value {
            return Err(Invalid::new(
                format!(
                    "the value of the header {name} is empty, or holds characters that no header may"
                ),
                mend,
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            value: Secret::new(value.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<HttpHeader, Invalid> {
        let context = Context {
            prefix: Path::new("/prefix"),
        };
        HttpHeader::parse(text, context)
    }

    #[test]
    fn a_header_has_a_name_and_a_value_that_is_not_shown() {
        let header = parse("Authorization:  Bearer a:b ").unwrap();
        assert_eq!(header.name(), "Authorization");
        assert_eq!(header.value().expose(), "Bearer a:b");
        assert_eq!(format!("{header:?}"), "Authorization: ******");
    }

    #[test]
    fn what_is_no_header_is_refused_without_being_shown() {
        for text in [
            "s3cret",
            ": s3cret",
            "X Y: s3cret",
            "X-Key: s3cret\r\nHost: evil",
            "X-Key:",
            "Host: s3cret",
        ] {
            let invalid = parse(text).unwrap_err();
            assert!(!invalid.message.contains("s3cret"), "{}", invalid.message);
        }
    }
}
