//! Turning settings into what handlers use on every request.

use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use keelgate_entities::Object;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::error::Reason;

/// Decodes the settings of a plugin.
pub(crate) fn decode<C: DeserializeOwned>(config: &Object) -> Result<C, Reason> {
    let config = serde_json::Value::Object(config.clone());
    Ok(C::deserialize(config)?)
}

/// A setting that names a header.
pub(crate) fn header_name(field: &str, name: &str) -> Result<HeaderName, Reason> {
    HeaderName::from_str(name)
        .map_err(|_| Reason::setting(field, format!("'{name}' is not a valid header name")))
}

/// A setting that becomes the value of a header.
pub(crate) fn header_value(field: &str, value: &str) -> Result<HeaderValue, Reason> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
        let problem = "a header value cannot contain control characters";
        Reason::setting(field, problem)
    })
}

/// Whether a text can be the name of a header, as Kong's plugins accept it.
pub(crate) fn is_header_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.bytes().all(allowed)
}

/// `null` means the default, as in the Admin API, where unset fields are shown as `null`.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A setting that is the status of a response.
pub(crate) fn status(field: &str, code: u16) -> Result<StatusCode, Reason> {
    StatusCode::from_u16(code)
        .map_err(|_| Reason::setting(field, "not a status; use a number from 100 to 599"))
}

/// A setting in milliseconds.
pub(crate) fn milliseconds(field: &str, number: f64) -> Result<Duration, Reason> {
    Duration::try_from_secs_f64(number / 1000.0).map_err(|problem| Reason::setting(field, problem))
}

/// Splits `name:value` at the first colon; colons that follow it directly are skipped. No value,
/// or an empty one, is `None`.
pub(crate) fn pair(entry: &str) -> (&str, Option<&str>) {
    match entry.split_once(':') {
        None => (entry, None),
        Some((name, value)) => {
            let value = value.trim_start_matches(':');
            (name, (!value.is_empty()).then_some(value))
        }
    }
}

/// A number as JSON and Lua print it: without a fraction where there is none.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_split_at_its_first_colon() {
        assert_eq!(pair("a:b:c"), ("a", Some("b:c")));
        assert_eq!(pair("a::b"), ("a", Some("b")));
        assert_eq!(pair("a:"), ("a", None));
        assert_eq!(pair("a"), ("a", None));
        assert_eq!(pair("x-space: lead "), ("x-space", Some(" lead ")));
    }

    #[test]
    fn header_names_are_letters_digits_dashes_and_underscores() {
        assert!(is_header_name("X-My_header1"));
        assert!(!is_header_name(""));
        assert!(!is_header_name("x y"));
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(number(5.0), "5");
        assert_eq!(number(0.5), "0.5");
        assert_eq!(number(0.0), "0");
    }
}
