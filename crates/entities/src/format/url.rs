//! URLs, taken apart leniently.

/// The parts of a URL that gateways use. Nothing is decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts<'t> {
    pub(crate) scheme: Option<&'t str>,
    pub(crate) host: Option<&'t str>,
    pub(crate) port: Option<&'t str>,
    pub(crate) path: Option<&'t str>,
}

/// Takes a URL apart. Unlike a strict parser, this keeps the host and path as they are written, so
/// that their own checks can tell what is wrong with them.
pub(crate) fn parts(text: &str) -> Parts<'_> {
    let mut parts = Parts::default();
    let mut rest = text.split('#').next().unwrap_or(text);
    if let Some((scheme, after)) = rest.split_once(':')
        && is_scheme(scheme)
    {
        parts.scheme = Some(scheme);
        rest = after;
    }
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find('/').unwrap_or(after.len());
        let (authority, path) = after.split_at(end);
        // What follows the last sign is the host; before it are user and password.
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        let authority = authority.split('?').next().unwrap_or(authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        parts.host = (!host.is_empty()).then_some(host);
        parts.port = port.filter(|port| !port.is_empty());
        rest = path;
    }
    let path = rest.split(['?', ';']).next().unwrap_or(rest);
    parts.path = (!path.is_empty()).then_some(path);
    parts
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// A URL with a scheme and a host.
pub(crate) fn url(text: &str) -> Result<(), String> {
    let parts = parts(text);
    match (parts.host, parts.scheme) {
        (None, _) => Err("missing host in url".to_owned()),
        (_, None) => Err("missing scheme in url".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(
            parts("https://u:p@h.test:8443/a/b?c=d#e"),
            Parts {
                scheme: Some("https"),
                host: Some("h.test"),
                port: Some("8443"),
                path: Some("/a/b"),
            }
        );
        assert_eq!(parts("http://[::1]:80").host, Some("::1"));
        assert_eq!(parts("h.test/a").path, Some("h.test/a"));
    }

    #[test]
    fn urls_need_a_host_and_a_scheme() {
        assert_eq!(url("http://h"), Ok(()));
        assert_eq!(url("h"), Err("missing host in url".into()));
        assert_eq!(url("//h"), Err("missing scheme in url".into()));
    }
}
