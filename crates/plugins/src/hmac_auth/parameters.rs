//! Reading the header that carries a signature.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use regex::bytes::Regex;
use serde::Deserialize;

/// How a request is signed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Algorithm {
    #[serde(rename = "hmac-sha1")]
    Sha1,
    #[serde(rename = "hmac-sha256")]
    Sha256,
    #[serde(rename = "hmac-sha384")]
    Sha384,
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }

    /// The algorithm of a name; letter case counts.
    fn named(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().as_bytes() == name)
    }

    pub(super) fn method(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// What the header says about a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters<'h> {
    pub(super) username: &'h str,
    /// None for one that is unknown.
    pub(super) algorithm: Option<Algorithm>,
    /// Names of what is signed, in their order and spelling.
    pub(super) headers: Vec<&'h str>,
    /// In base64.
    pub(super) signature: &'h [u8],
}

/// Quotation marks within a value belong to it, as far as the rest still fits.
static FORM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?s-u)[Hh]mac\s*username="(.+)",\s*algorithm="(.+)",\s*headers="(.+)",\s*signature="(.+)""#,
    )
    .expect("it is a regular expression")
});

impl<'h> Parameters<'h> {
    /// Reads `hmac username="…", algorithm="…", headers="…", signature="…"`.
    pub(super) fn parse(header: &'h [u8]) -> Option<Self> {
        let values = usual(header).or_else(|| Some(FORM.captures(header)?.extract().1));
        let [username, algorithm, headers, signature] = values?;
        let headers = std::str::from_utf8(headers).ok()?;
        let headers = headers.strip_suffix(' ').unwrap_or(headers);
        Some(Self {
            username: std::str::from_utf8(username).ok()?,
            algorithm: Algorithm::named(algorithm),
            headers: headers.split(' ').collect(),
            signature,
        })
    }
}

/// The values of a header without anything around them and without other quotation marks, which is
/// what clients send: the form then fits in one way only, and looking for it costs more than the signature.
fn usual(header: &[u8]) -> Option<[&[u8]; 4]> {
    let (start, mut rest) = header.split_at_checked(4)?;
    if !matches!(start, b"hmac" | b"Hmac") || rest.last() != Some(&b'"') {
        return None;
    }
    let names = ["username", "algorithm", "headers", "signature"];
    let mut values = [&b""[..]; 4];
    for (at, (name, found)) in names.into_iter().zip(&mut values).enumerate() {
        if at > 0 {
            rest = rest.strip_prefix(b",")?;
        }
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(name.as_bytes())?.strip_prefix(b"=\"")?;
        let (value, behind) = rest.split_at(memchr::memchr(b'"', rest)?);
        (*found, rest) = (value, behind.strip_prefix(b"\"")?);
    }
    let is_whole = rest.is_empty() && values.iter().all(|value| !value.is_empty());
    is_whole.then_some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(header: &str) -> Option<Parameters<'_>> {
        Parameters::parse(header.as_bytes())
    }

    #[test]
    fn the_parts_are_read() {
        let header =
            r#"hmac username="a", algorithm="hmac-sha1",headers="date  X ",  signature="s==""#;
        let expected = Parameters {
            username: "a",
            algorithm: Some(Algorithm::Sha1),
            headers: vec!["date", "", "X"],
            signature: b"s==",
        };
        assert_eq!(parsed(header), Some(expected));
        let behind = format!("x {}", header.replace("hmac user", "Hmacuser"));
        assert_eq!(parsed(&behind).unwrap().username, "a");
    }

    #[test]
    fn quotation_marks_belong_to_values() {
        let header = r#"hmac username="a", algorithm="b", algorithm="hmac-sha256", headers="date", signature="s""#;
        let parameters = parsed(header).unwrap();
        assert_eq!(parameters.username, r#"a", algorithm="b"#);
        assert_eq!(parameters.algorithm, Some(Algorithm::Sha256));
    }

    #[test]
    fn what_is_incomplete_is_nothing() {
        for header in [
            "",
            "hmac",
            r#"hmac username="a""#,
            r#"HMAC username="a", algorithm="b", headers="date", signature="s""#,
            r#"hmac username="", algorithm="b", headers="date", signature="s""#,
            r#"hmac username="a", algorithm="b", headers="", signature="s""#,
            r#"hmac username="a", headers="date", algorithm="b", signature="s""#,
            r#"hmac username="a" algorithm="b" headers="date" signature="s""#,
        ] {
            assert_eq!(parsed(header), None, "{header}");
        }
    }

    #[test]
    fn what_clients_send_is_read_without_a_search() {
        let header =
            br#"hmac username="a", algorithm="hmac-sha256",headers="date", signature="s=""#;
        assert_eq!(
            usual(header),
            Some([&b"a"[..], b"hmac-sha256", b"date", b"s="])
        );
        for other in [&b" "[..], b"\""] {
            assert_eq!(usual(&[&header[..], other].concat()), None);
            assert_eq!(usual(&[other, &header[..]].concat()), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn both_ways_of_reading_find_the_same(
            header in r#"[Hh]mac *username="[a", ]{1,3}",\s?algorithm="[b" ]{1,2}", headers="[c" ]{0,2}",signature="[d"]{1,2}"[ "]?"#
        ) {
            if let Some(values) = usual(header.as_bytes()) {
                let found = FORM.captures(header.as_bytes()).map(|found| found.extract().1);
                prop_assert_eq!(Some(values), found);
            }
        }

        #[test]
        fn bytes_of_any_kind_are_read_or_refused(header: Vec<u8>) {
            let _ = Parameters::parse(&header);
        }
    }
}
