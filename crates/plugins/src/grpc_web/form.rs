//! The forms in which browsers write calls.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;

/// How a client writes its messages, and reads those of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The content type, of the response as well.
    pub(super) name: &'static str,
    /// Everything is in base64.
    pub(super) base64: bool,
    /// Messages are in JSON, not in the encoding of the service.
    pub(super) json: bool,
    /// Messages have frames, and the status follows as one.
    pub(super) framed: bool,
}

const FORMS: [Form; 7] = [
    form("application/grpc-web", false, false, true),
    form("application/grpc-web+proto", false, false, true),
    form("application/grpc-web-text", true, false, true),
    form("application/grpc-web-text+proto", true, false, true),
    form("application/grpc-web+json", false, true, true),
    form("application/grpc-web-text+json", true, true, true),
    form("application/json", false, true, false),
];

const fn form(name: &'static str, base64: bool, json: bool, framed: bool) -> Form {
    Form {
        name,
        base64,
        json,
        framed,
    }
}

impl Form {
    /// The form that a content type names, whatever its parameters.
    pub(super) fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        let name = content_type?
            .as_bytes()
            .split(|byte| *byte == b';')
            .next()?;
        let name = name.trim_ascii();
        FORMS
            .into_iter()
            .find(|form| name.eq_ignore_ascii_case(form.name.as_bytes()))
    }
}

/// Decodes base64 that may consist of several parts, each with its own padding.
pub(super) fn from_base64(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    while !text.is_empty() {
        let end = match text.iter().position(|byte| *byte == b'=') {
            // A padding fills up four characters.
            Some(padding) => (padding / 4 + 1) * 4,
            None => text.len(),
        };
        let (part, rest) = text.split_at_checked(end)?;
        BASE64_STANDARD.decode_vec(part, &mut bytes).ok()?;
        text = rest;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parts_in_base64_are_read_one_after_the_other(parts: Vec<Vec<u8>>) {
            let text: String = parts.iter().map(|part| BASE64_STANDARD.encode(part)).collect();
            prop_assert_eq!(from_base64(text.as_bytes()), Some(parts.concat()));
        }

        #[test]
        fn no_text_is_too_odd(text: Vec<u8>) {
            let _ = from_base64(&text);
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for odd in ["a", "ab=", "====", "ab==c", "?", "ab\n="] {
            assert_eq!(from_base64(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn forms_go_by_their_content_type() {
        let name = |text: &'static str| {
            Form::of(Some(&HeaderValue::from_static(text))).map(|form| form.name)
        };
        assert_eq!(
            name("Application/GRPC-Web-Text+proto; charset=utf-8"),
            Some("application/grpc-web-text+proto")
        );
        assert_eq!(name("application/grpc-web+thrift"), None);
        assert_eq!(name("application/grpc"), None);
        assert_eq!(Form::of(None), None);
    }
}
