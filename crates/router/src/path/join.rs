//! The path sent upstream.

use std::borrow::Cow;

use keelgate_entities::kinds::PathHandling;

use crate::router::Match;

/// The path sent upstream, before [`super::escape`]: the path of the service followed by the
/// request's, without what the route's path matched if `strip_path` is set.
///
/// `path` is the normalised path that `found` was found for.
pub fn upstream_path<'p>(
    service_path: Option<&'p str>,
    path: &'p str,
    found: &Match,
    strip_path: bool,
) -> Cow<'p, str> {
    let base = service_path.unwrap_or("/");
    let stripped = found.matched_path(path).map_or(1, |matched| matched.len());
    if found.handling == PathHandling::V1 {
        return as_they_are(base, path, strip_path.then_some(stripped));
    }
    if !strip_path {
        return match (base.strip_suffix('/'), path) {
            (Some(""), _) => Cow::Borrowed(path),
            (Some(base), _) => Cow::Owned([base, "/", rest_of(path, 1)].concat()),
            (None, "/") => Cow::Borrowed(base),
            (None, _) => Cow::Owned([base, path].concat()),
        };
    }
    let rest = without_dots(rest_of(path, stripped));
    let slash = path.ends_with('/');
    match (base.strip_suffix('/'), rest) {
        (Some(""), "") => Cow::Borrowed("/"),
        (Some(_), "") if slash => Cow::Borrowed(base),
        (Some(base), "") => Cow::Borrowed(base),
        (Some(""), rest) if rest.starts_with('/') => Cow::Borrowed(rest),
        (Some(""), rest) if path[..path.len() - rest.len()].ends_with('/') => {
            Cow::Borrowed(&path[path.len() - rest.len() - 1..])
        }
        (None, "") if slash && path.len() > 1 => Cow::Owned(format!("{base}/")),
        (None, "") => Cow::Borrowed(base),
        (bare, rest) => {
            let base = bare.unwrap_or(base);
            let rest = rest.strip_prefix('/').unwrap_or(rest);
            Cow::Owned([base, "/", rest].concat())
        }
    }
}

/// `path_handling = v1`: one text after the other, with no slash between them that is not there,
/// save that two in a row become one.
fn as_they_are<'p>(base: &'p str, path: &'p str, stripped: Option<usize>) -> Cow<'p, str> {
    let Some(stripped) = stripped else {
        return Cow::Owned(format!("{base}{}", rest_of(path, 1)));
    };
    let rest = without_dots(rest_of(path, stripped));
    match base.strip_suffix('/') {
        Some(base) if rest.starts_with('/') => Cow::Owned(format!("{base}{rest}")),
        _ => Cow::Owned(format!("{base}{rest}")),
    }
}

/// `path` from a byte on; from the next character if that is in the middle of one.
fn rest_of(path: &str, mut start: usize) -> &str {
    while start < path.len() && !path.is_char_boundary(start) {
        start += 1;
    }
    path.get(start..).unwrap_or_default()
}

/// What is left of a segment must not become a dot segment.
fn without_dots(rest: &str) -> &str {
    match rest {
        "." | ".." => "",
        _ => rest
            .strip_prefix("./")
            .or_else(|| rest.strip_prefix("../"))
            .unwrap_or(rest),
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{Request, route};
    use crate::{Router, path::upstream_path};
    use keelgate_entities::RouterFlavor;
    use keelgate_entities::kinds::PathHandling;

    fn sent(service: Option<&str>, route_path: &str, request: &str, strip: bool) -> String {
        sent_in(
            RouterFlavor::TraditionalCompatible,
            service,
            route_path,
            request,
            strip,
        )
    }

    /// With `path_handling = v1`, which only the traditional flavour heeds.
    fn sent_in(
        flavor: RouterFlavor,
        service: Option<&str>,
        route_path: &str,
        request: &str,
        strip: bool,
    ) -> String {
        let mut route = route(1);
        route.paths = Some(vec![route_path.to_owned()]);
        route.path_handling = PathHandling::V1;
        let router = Router::compile(&[route], flavor).unwrap();
        let found = Request::get(request).find(&router).unwrap();
        upstream_path(service, request, &found, strip).into_owned()
    }

    #[test]
    fn the_matched_path_is_replaced_by_that_of_the_service() {
        for (service, route, request, expected) in [
            (None, "/r", "/r", "/"),
            (None, "/r", "/r/", "/"),
            (None, "/r", "/rx", "/x"),
            (None, "/r/", "/r/x", "/x"),
            (Some("/s"), "/r", "/r", "/s"),
            (Some("/s"), "/r", "/r/", "/s/"),
            (Some("/s"), "/r", "/r/x", "/s/x"),
            (Some("/s"), "/r", "/rx", "/s/x"),
            (Some("/s/"), "/r", "/r", "/s"),
            (Some("/s/"), "/r/", "/r/", "/s/"),
            (Some("/s/"), "/r", "/r/x", "/s/x"),
            (Some("/s/"), "/r", "/rx", "/s/x"),
            (Some("/s"), "/", "/", "/s"),
            (Some("/s"), "~/v\\d+", "/v12/x", "/s/x"),
            (Some("/s"), "/r", "/r.", "/s"),
            (Some("/s"), "/r", "/r..", "/s"),
        ] {
            assert_eq!(
                sent(service, route, request, true),
                expected,
                "{service:?} {route} {request}"
            );
        }
    }

    #[test]
    fn without_stripping_the_paths_are_joined() {
        for (service, request, expected) in [
            (None, "/r/x", "/r/x"),
            (Some("/s"), "/r/x", "/s/r/x"),
            (Some("/s/"), "/r/x", "/s/r/x"),
            (Some("/s"), "/", "/s"),
            (Some("/s/"), "/", "/s/"),
        ] {
            assert_eq!(
                sent(service, "/", request, false),
                expected,
                "{service:?} {request}"
            );
        }
    }

    #[test]
    fn v1_puts_one_path_after_the_other_in_the_traditional_flavour() {
        for (service, route, request, stripped, whole) in [
            (None, "/r", "/r", "/", "/r"),
            (None, "/r", "/r/x", "/x", "/r/x"),
            (None, "/r", "/rx", "/x", "/rx"),
            (Some("/s"), "/r", "/r", "/s", "/sr"),
            (Some("/s"), "/r", "/rx", "/sx", "/srx"),
            (Some("/s"), "/r", "/r/x", "/s/x", "/sr/x"),
            (Some("/s/"), "/r", "/r", "/s/", "/s/r"),
            (Some("/s/"), "/r", "/r/x", "/s/x", "/s/r/x"),
            (Some("/s"), "/r/", "/r/x", "/sx", "/sr/x"),
            (Some("/s"), "/", "/", "/s", "/s"),
            (Some("/s"), "/r", "/r../x", "/sx", "/sr../x"),
        ] {
            let sent = |strip| sent_in(RouterFlavor::Traditional, service, route, request, strip);
            assert_eq!(sent(true), stripped, "{service:?} {route} {request}");
            assert_eq!(sent(false), whole, "{service:?} {route} {request}");
        }
    }

    #[test]
    fn a_match_in_the_middle_of_a_letter_does_not_cut_it() {
        assert_eq!(sent(None, "~/x|a", "/éa", true), "/éa");
        assert_eq!(sent(None, "~/x|éa", "/yéa", true), "/a");
    }
}
