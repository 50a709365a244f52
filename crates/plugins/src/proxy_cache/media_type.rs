//! Media types (RFC 9110, section 8.3.1).

/// A media type, or a range of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MediaType {
    /// In small letters; `*` for any.
    kind: String,
    subtype: String,
    /// Names in small letters, and values; sorted.
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads `type/subtype; name=value`, or `*`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (essence, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let (kind, subtype) = match essence.trim_end() {
            "*" => ("*", "*"),
            essence => essence.split_once('/')?,
        };
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut parameters = Vec::new();
        while !rest.is_empty() {
            let (name, behind) = rest.strip_prefix(';')?.trim_start().split_once('=')?;
            let (value, behind) = match behind.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => {
                    let end = behind.find([';', ' ', '\t']).unwrap_or(behind.len());
                    behind.split_at(end)
                }
            };
            if !is_token(name) {
                return None;
            }
            let name = name.to_ascii_lowercase();
            parameters.retain(|(other, _)| *other != name);
            parameters.push((name, value.to_owned()));
            rest = behind.trim_start();
        }
        parameters.sort();
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            parameters,
        })
    }

    /// Whether the other is of this type, with the same parameters.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let fits = |own: &str, other: &str| own == "*" || own == other;
        fits(&self.kind, &other.kind)
            && fits(&self.subtype, &other.subtype)
            && self.parameters == other.parameters
    }
}

fn is_token(text: &str) -> bool {
    let separator = |byte| b"()<>@,;:\\\"/[]?={} \t".contains(&byte);
    let allowed = |byte: u8| byte.is_ascii() && !byte.is_ascii_control() && !separator(byte);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(range: &str, text: &str) -> bool {
        let parse = |text| MediaType::parse(text).unwrap();
        parse(range).covers(&parse(text))
    }

    #[test]
    fn types_and_parameters_must_fit() {
        assert!(covers("text/plain", "TEXT/Plain"));
        assert!(covers("text/*", "text/css"));
        assert!(covers("*", "a/b"));
        assert!(covers("*/*;a=1", "a/b; A=\"1\""));
        assert!(covers("a/b; c=1; d=2", "a/b;d=2 ;c=1"));
        assert!(!covers("text/plain", "text/plain; charset=utf-8"));
        assert!(!covers("text/plain; charset=utf-8", "text/plain"));
        assert!(!covers(
            "text/plain; charset=utf-8",
            "text/plain; charset=UTF-8"
        ));
        assert!(!covers("text/plain", "application/json"));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in [
            "",
            "text",
            "/",
            "a/",
            "a/b;",
            "a/b;c",
            "a/b;=1",
            "a/b c",
            "a/b;c=1 d",
        ] {
            assert_eq!(MediaType::parse(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = MediaType::parse(&text);
        }
    }
}
