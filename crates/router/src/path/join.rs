//! The path sent upstream.

use std::borrow::Cow;

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
    if !strip_path {
        return match (base.strip_suffix('/'), path) {
            (Some(""), _) => Cow::Borrowed(path),
            (Some(base), _) => Cow::Owned(format!("{base}/{}", rest_of(path, 1))),
            (None, "/") => Cow::Borrowed(base),
            (None, _) => Cow::Owned(format!("{base}{path}")),
        };
    }
    let stripped = found.matched_path(path).map_or(1, |matched| matched.len());
    let rest = without_dots(rest_of(path, stripped));
    let slash = path.ends_with('/');
    match (base.strip_suffix('/'), rest) {
        (Some(""), "") => Cow::Borrowed("/"),
        (Some(_), "") if slash => Cow::Borrowed(base),
        (Some(base), "") => Cow::Borrowed(base),
        (Some(""), rest) if rest.starts_with('/') => Cow::Borrowed(rest),
        (None, "") if slash && path.len() > 1 => Cow::Owned(format!("{base}/")),
        (None, "") => Cow::Borrowed(base),
        (bare, rest) => {
            let base = bare.unwrap_or(base);
            let rest = rest.strip_prefix('/').unwrap_or(rest);
            Cow::Owned(format!("{base}/{rest}"))
        }
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

    fn sent(service: Option<&str>, route_path: &str, request: &str, strip: bool) -> String {
        let mut route = route(1);
        route.paths = Some(vec![route_path.to_owned()]);
        let router = Router::compile(&[route], RouterFlavor::TraditionalCompatible).unwrap();
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
    fn a_match_in_the_middle_of_a_letter_does_not_cut_it() {
        assert_eq!(sent(None, "~/x|a", "/éa", true), "/éa");
        assert_eq!(sent(None, "~/x|éa", "/yéa", true), "/a");
    }
}
