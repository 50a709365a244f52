//! Reading a token: the compact form of a JSON Web Signature (RFC 7515). Nothing in it is believed
//! before its signature has been verified.

use memchr::memchr;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use crate::base64::url_safe;

/// A token whose signature has not been verified.
#[derive(Debug)]
pub(super) struct Token<'t> {
    /// The algorithm that it says it is signed with.
    pub(super) algorithm: Algorithm,
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// What the signature covers.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Reads `HEADER.CLAIMS.SIGNATURE`, or says what is wrong with it.
    pub(super) fn parse(text: &'t [u8]) -> Result<Self, &'static str> {
        const NO_JSON: &str = "invalid JSON";
        let first = memchr(b'.', text).ok_or(NO_JSON)?;
        let second = first + 1 + memchr(b'.', &text[first + 1..]).ok_or(NO_JSON)?;
        let header = json(&text[..first]).ok_or(NO_JSON)?;
        let claims = json(&text[first + 1..second]).ok_or(NO_JSON)?;
        let Value::Object(header) = header else {
            return Err("invalid alg");
        };
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.and_then(Algorithm::named).ok_or("invalid alg")?;
        let claims = match claims {
            Value::Object(claims) => claims,
            // A list has no claims, but may be signed by a key that the header names.
            Value::Array(_) => Map::new(),
            _ => return Err("invalid claims"),
        };
        Ok(Self {
            algorithm,
            header,
            claims,
            signed: &text[..second],
            signature: url_safe(&text[second + 1..]).ok_or("invalid signature")?,
        })
    }

    /// What names the key: a claim, or else a member of the header.
    pub(super) fn named(&self, claim: &str) -> Option<&Value> {
        let there = |value: &&Value| **value != Value::Bool(false);
        let claims = self.claims.get(claim).filter(there);
        claims.or_else(|| self.header.get(claim).filter(there))
    }
}

fn json(encoded: &[u8]) -> Option<Value> {
    serde_json::from_slice(&url_safe(encoded)?).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    fn encoded(header: &str, claims: &str) -> String {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    fn refused(text: &str) -> &'static str {
        Token::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_parts_of_a_token_are_read() {
        let text = encoded(r#"{"alg":"ES512","kid":"h"}"#, r#"{"iss":"a"}"#);
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!(token.algorithm, Algorithm::Es512);
        assert_eq!(token.named("iss").unwrap(), "a");
        assert_eq!(token.named("kid").unwrap(), "h");
        assert_eq!(token.signature, b"sig");
        assert_eq!(token.signed, text.rsplit_once('.').unwrap().0.as_bytes());
    }

    #[test]
    fn claims_come_before_the_header() {
        let text = encoded(
            r#"{"alg":"HS256","iss":"h","a":1}"#,
            r#"{"iss":"c","a":false}"#,
        );
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!(token.named("iss").unwrap(), "c");
        assert_eq!(token.named("a").unwrap(), 1);
        assert_eq!(token.named("b"), None);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "x", "a.b", "a.b.c", "..", "e30.e30", "e30=.!.e30"] {
            assert_eq!(refused(text), "invalid JSON", "{text}");
        }
        for header in ["{}", "[]", "5", "null", r#"{"alg":5}"#] {
            assert_eq!(refused(&encoded(header, "{}")), "invalid alg", "{header}");
        }
        for algorithm in [
            "none", "None", "NONE", "hs256", "HS1", "", "EDDSA", "ES256K",
        ] {
            let header = format!(r#"{{"alg":"{algorithm}"}}"#);
            assert_eq!(
                refused(&encoded(&header, "{}")),
                "invalid alg",
                "{algorithm}"
            );
        }
        let header = r#"{"alg":"HS256"}"#;
        for claims in ["null", "false", "1", "\"a\""] {
            assert_eq!(
                refused(&encoded(header, claims)),
                "invalid claims",
                "{claims}"
            );
        }
        for tail in [".x", "+", "\u{e9}"] {
            let text = encoded(header, "{}") + tail;
            assert_eq!(refused(&text), "invalid signature", "{tail}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_of_any_kind_are_read_or_refused(text: Vec<u8>) {
            let _ = Token::parse(&text);
        }
    }
}
