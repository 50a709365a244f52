//! Reading the `Cache-Control` header (RFC 9111).

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CACHE_CONTROL, EXPIRES};

use crate::HeaderMap;

/// The directives of a message that matter here; of several with one name the last counts.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) only_if_cached: bool,
    /// Seconds, as all that follow.
    pub(super) max_age: Option<f64>,
    pub(super) s_maxage: Option<f64>,
    pub(super) max_stale: Option<f64>,
    pub(super) min_fresh: Option<f64>,
}

impl Directives {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        let values = headers.get_all(CACHE_CONTROL).iter();
        for text in values.filter_map(|value| value.to_str().ok()) {
            for directive in text.split(',') {
                directives.read(directive.trim());
            }
        }
        directives
    }

    fn read(&mut self, directive: &str) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (
                name,
                value.trim().parse().ok().filter(|n: &f64| !n.is_nan()),
            ),
            None => (directive, None),
        };
        match name.trim_end().to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "only-if-cached" => self.only_if_cached = true,
            "max-age" => self.max_age = value,
            "s-maxage" => self.s_maxage = value,
            "max-stale" => self.max_stale = value,
            "min-fresh" => self.min_fresh = value,
            _ => (),
        }
    }

    /// Seconds that the response with these headers is good for: by its directives, or else by
    /// `Expires`; none where neither says so.
    pub(super) fn lifetime(&self, headers: &HeaderMap, now: u64) -> u64 {
        let told = self.s_maxage.or(self.max_age);
        let expires = || {
            let text = headers.get_all(EXPIRES).iter().last()?.to_str().ok()?;
            let at: SystemTime = httpdate::parse_http_date(text).ok()?;
            let at = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
            Some(at.saturating_sub(now))
        };
        // The conversion keeps within the bounds of the type.
        told.map(|seconds| seconds.ceil() as u64)
            .or_else(expires)
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, headers};

    fn read(values: &[&str]) -> Directives {
        let values: Vec<_> = values
            .iter()
            .map(|value| ("cache-control", *value))
            .collect();
        Directives::of(&headers(&values))
    }

    #[test]
    fn directives_are_read() {
        let directives = read(&[
            "No-Store , max-age=5",
            "private,s-maxage = 7,x=1,,max-stale",
        ]);
        let expected = Directives {
            no_store: true,
            private: true,
            max_age: Some(5.0),
            s_maxage: Some(7.0),
            ..Directives::default()
        };
        assert_eq!(directives, expected);
        assert_eq!(
            read(&["max-age=x", "min-fresh=nan", "="]),
            Directives::default()
        );
    }

    #[test]
    fn a_lifetime_is_told_by_age_or_date() {
        let lifetime = |pairs: &[(&str, &str)]| {
            let headers = headers(pairs);
            Directives::of(&headers).lifetime(&headers, NOW)
        };
        let expires = ("expires", "Thu, 29 Feb 2024 12:35:06 GMT");
        assert_eq!(lifetime(&[]), 0);
        assert_eq!(lifetime(&[expires]), 10);
        assert_eq!(lifetime(&[expires, ("cache-control", "max-age=3")]), 3);
        assert_eq!(lifetime(&[("cache-control", "max-age=3, s-maxage=0")]), 0);
        assert_eq!(lifetime(&[("cache-control", "max-age=-3")]), 0);
        assert_eq!(lifetime(&[("expires", "0")]), 0);
        assert_eq!(lifetime(&[("expires", "Thu, 29 Feb 2024 12:00:00 GMT")]), 0);
    }
}
