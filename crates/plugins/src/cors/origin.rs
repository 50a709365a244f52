//! Which origins may call.

use std::borrow::Cow;

use http::header::HeaderValue;
use regex::Regex;

use crate::error::Reason;
use crate::setting;

/// The origins of a configuration.
#[derive(Debug)]
pub(crate) enum Origins {
    /// All.
    Any,
    /// This one, told to everybody; the browser compares.
    Fixed(HeaderValue),
    /// All, though they are told apart from requests without an origin: `*` among others.
    AnyNamed,
    /// Those that match.
    List(Vec<Rule>),
}

/// One of several origins.
#[derive(Debug)]
pub(crate) enum Rule {
    /// This origin.
    Exactly(String),
    /// Origins, or only their hosts, that match as a whole.
    Matching { regex: Regex, host_only: bool },
}

/// What is told about an origin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everybody may call.
    Any,
    /// This origin may call.
    Origin(HeaderValue),
    /// Nothing is told: the origin is absent or unknown.
    Nothing,
}

impl Origins {
    pub(crate) fn new(origins: Option<&[String]>) -> Result<Self, Reason> {
        match origins.unwrap_or_default() {
            [] => Ok(Self::Any),
            [only] if only == "*" => Ok(Self::Any),
            [only] if !is_regex(only) => Ok(Self::Fixed(setting::header_value("origins", only)?)),
            several if several.iter().any(|origin| origin == "*") => Ok(Self::AnyNamed),
            several => {
                let rules = several.iter().map(|origin| Rule::new(origin));
                Ok(Self::List(rules.collect::<Result<_, _>>()?))
            }
        }
    }

    /// Whether the response depends on the request's origin.
    pub(crate) fn vary(&self) -> bool {
        !matches!(self, Self::Any)
    }

    pub(crate) fn judge(&self, origin: Option<&HeaderValue>) -> Verdict {
        let rules = match self {
            Self::Any => return Verdict::Any,
            Self::Fixed(origin) => return Verdict::Origin(origin.clone()),
            Self::AnyNamed if origin.is_some() => return Verdict::Any,
            Self::AnyNamed => return Verdict::Nothing,
            Self::List(rules) => rules,
        };
        let Some(origin) = origin.and_then(|origin| origin.to_str().ok()) else {
            return Verdict::Nothing;
        };
        let origin = normal(origin);
        for rule in rules {
            let matches = match rule {
                Rule::Exactly(known) => *known == origin.whole,
                Rule::Matching { regex, host_only } => regex.is_match(if *host_only {
                    origin.host
                } else {
                    &origin.whole
                }),
            };
            if matches && let Ok(value) = HeaderValue::from_str(&origin.whole) {
                return Verdict::Origin(value);
            }
        }
        Verdict::Nothing
    }
}

impl Rule {
    fn new(origin: &str) -> Result<Self, Reason> {
        if !is_regex(origin) {
            return Ok(Self::Exactly(normal(origin).whole.into_owned()));
        }
        let inner = origin.strip_prefix('^').unwrap_or(origin);
        let end = if inner.ends_with('$') { "" } else { "$" };
        let regex = Regex::new(&format!("^(?:{inner}{end})"))
            .map_err(|_| Reason::setting("origins", format!("'{origin}' is not a valid regex")))?;
        Ok(Self::Matching {
            regex,
            host_only: !origin.contains(':'),
        })
    }
}

/// Whether a setting is a regular expression: it has characters that origins do not.
fn is_regex(origin: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:/-".contains(&byte);
    !origin.bytes().all(plain)
}

/// An origin without the default port of its scheme, and without a path.
struct Normal<'a> {
    whole: Cow<'a, str>,
    host: &'a str,
}

fn normal(origin: &str) -> Normal<'_> {
    let itself = Normal {
        whole: Cow::Borrowed(origin),
        host: origin,
    };
    let (scheme, rest) = match origin.split_once("//") {
        Some(("", rest)) => (None, rest),
        Some((scheme, rest)) if scheme.ends_with(':') => (scheme.strip_suffix(':'), rest),
        _ => return itself,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return itself;
    }
    let port = port.filter(|port| {
        let default = matches!(
            (scheme, *port),
            (Some("http"), "80") | (Some("https"), "443")
        );
        !default && !port.is_empty()
    });
    let scheme = scheme.map_or(String::new(), |scheme| format!("{scheme}://"));
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    Normal {
        whole: Cow::Owned(format!("{scheme}{host}{port}")),
        host,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judge(origins: &[&str], origin: &str) -> Verdict {
        let origins: Vec<_> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let origin = HeaderValue::from_str(origin).unwrap();
        Origins::new(Some(&origins)).unwrap().judge(Some(&origin))
    }

    fn allowed(origin: &'static str) -> Verdict {
        Verdict::Origin(HeaderValue::from_static(origin))
    }

    #[test]
    fn default_ports_do_not_count() {
        let origins = ["http://a.test", "https://b.test:443", "http://c.test:8080"];
        assert_eq!(
            judge(&origins, "http://a.test:80"),
            allowed("http://a.test")
        );
        assert_eq!(judge(&origins, "https://b.test"), allowed("https://b.test"));
        assert_eq!(
            judge(&origins, "http://c.test:8080"),
            allowed("http://c.test:8080")
        );
        assert_eq!(judge(&origins, "http://c.test"), Verdict::Nothing);
        assert_eq!(judge(&origins, "https://a.test"), Verdict::Nothing);
    }

    #[test]
    fn regular_expressions_match_the_whole_origin() {
        let origins = ["http://(a|c)\\.test"];
        assert_eq!(judge(&origins, "http://c.test"), allowed("http://c.test"));
        assert_eq!(judge(&origins, "http://c.test.evil"), Verdict::Nothing);
        assert_eq!(judge(&origins, "x-http://c.test"), Verdict::Nothing);
    }

    #[test]
    fn without_a_colon_only_the_host_is_matched() {
        let origins = ["^.*\\.a_?test$"];
        assert_eq!(
            judge(&origins, "https://x.atest:8443"),
            allowed("https://x.atest:8443")
        );
        assert_eq!(judge(&origins, "https://x.btest"), Verdict::Nothing);
    }

    #[test]
    fn an_opaque_origin_is_none_of_the_known() {
        assert_eq!(
            judge(&["http://a.test", "http://b.test"], "null"),
            Verdict::Nothing
        );
    }

    #[test]
    fn a_star_among_others_allows_every_origin() {
        let origins = ["http://a.test", "*"];
        assert_eq!(judge(&origins, "null"), Verdict::Any);
        assert_eq!(judge(&origins, "http://a.test"), Verdict::Any);
        let origins = origins.map(str::to_owned);
        let nothing = Origins::new(Some(&origins)).unwrap().judge(None);
        assert_eq!(nothing, Verdict::Nothing);
    }

    #[test]
    fn a_wrong_expression_is_named() {
        let error = Origins::new(Some(&["(a".to_owned()])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config.origins: '(a' is not a valid regex"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_origin_makes_it_panic(origin in "[a-z:/@.#?0-9]{0,24}") {
            let _ = normal(&origin);
        }
    }
}
