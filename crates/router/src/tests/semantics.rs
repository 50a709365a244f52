//! What matches.

use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::{Endpoint, Protocol, Route};

use super::{Request, headers, list, route, router};
use crate::{Facts, Headers, Router};

fn hosts_match(pattern: &str, host: &str, port: u16) -> bool {
    let mut own = route(1);
    own.hosts = list(&[pattern]);
    let request = Request {
        host,
        port,
        ..Request::get("/x")
    };
    request.route(&router(&[own])).is_some()
}

fn path_match(patterns: &[&str], path: &str) -> Option<String> {
    let mut own = route(1);
    own.paths = list(patterns);
    let found = Request::get(path).find(&router(&[own]))?;
    found.matched_path(path).map(|part| part.into_owned())
}

#[test]
fn hosts_match_case_sensitively_with_wildcards_and_ports() {
    assert!(hosts_match("a.test", "a.test", 8000));
    assert!(!hosts_match("a.test", "A.test", 8000));
    assert!(!hosts_match("a.test", "a.test.", 8000));
    assert!(hosts_match("*.test", "a.b.test", 8000));
    assert!(!hosts_match("*.test", "test", 8000));
    assert!(hosts_match("a.*", "a.b.test", 8000));
    assert!(!hosts_match("a.*", "b.a.test", 8000));
    assert!(hosts_match("*", "anything", 8000));
    assert!(hosts_match("a.test:8000", "a.test", 8000));
    assert!(!hosts_match("a.test:80", "a.test", 8000));
    assert!(hosts_match("*.test:443", "a.test", 443));
    assert!(!hosts_match("*.test:443", "a.test", 80));
}

#[test]
fn prefixes_match_bytes_and_not_segments() {
    assert_eq!(path_match(&["/r"], "/r").as_deref(), Some("/r"));
    assert_eq!(path_match(&["/r"], "/rx").as_deref(), Some("/r"));
    assert_eq!(path_match(&["/r/"], "/r"), None);
    assert_eq!(path_match(&["/R"], "/r"), None);
    assert_eq!(path_match(&["/é"], "/éa").as_deref(), Some("/é"));
}

#[test]
fn regular_expressions_are_anchored_at_the_start_only() {
    assert_eq!(
        path_match(&["~/v[0-9]+"], "/v12/x").as_deref(),
        Some("/v12")
    );
    assert_eq!(path_match(&["~/v[0-9]+"], "/x/v12"), None);
    assert_eq!(path_match(&["~/v$"], "/vx"), None);
    assert_eq!(path_match(&["~/a|b"], "/xb").as_deref(), Some("b"));
}

#[test]
fn the_first_of_several_expressions_that_match_gives_the_matched_path() {
    assert_eq!(path_match(&["~/a", "~/a/b"], "/a/b").as_deref(), Some("/a"));
    assert_eq!(
        path_match(&["~/a/b", "~/a"], "/a/b").as_deref(),
        Some("/a/b")
    );
}

#[test]
fn captures_are_found_by_name_and_number() {
    let mut own = route(1);
    own.paths = list(&["~/u/(?<id>\\d+)(/x)?(/y)"]);
    let router = router(&[own]);
    let found = Request::get("/u/7/y").find(&router).unwrap();
    let captures = Request::get("/u/7/y").ask(|facts| router.captures(&found, facts).unwrap());
    assert_eq!(captures.get("id"), Some("7"));
    assert_eq!(captures.get("1"), Some("7"));
    assert_eq!(captures.get("3"), Some("/y"));
    assert_eq!(captures.get("2"), None);
    let all: Vec<_> = captures.iter().collect();
    assert_eq!(all, [("0", "/u/7/y"), ("1", "7"), ("id", "7"), ("3", "/y")]);
}

#[test]
fn a_path_without_groups_captures_nothing() {
    for path in ["~/u", "/u"] {
        let mut own = route(1);
        own.paths = list(&[path]);
        let router = router(&[own]);
        let found = Request::get("/u").find(&router).unwrap();
        assert!(Request::get("/u").ask(|facts| router.captures(&found, facts).is_none()));
    }
}

#[test]
fn the_forwarded_prefix_is_what_is_stripped() {
    let mut own = route(1);
    own.paths = list(&["/api", "/"]);
    let router = router(&[own]);
    let found = Request::get("/api/x").find(&router).unwrap();
    assert_eq!(found.forwarded_prefix("/api/x", true), Some("/api".into()));
    assert_eq!(found.forwarded_prefix("/api/x", false), None);
    let found = Request::get("/x").find(&router).unwrap();
    assert_eq!(found.forwarded_prefix("/x", true), None);
}

#[test]
fn the_forwarded_prefix_cannot_break_out_of_its_header() {
    let mut own = route(1);
    own.paths = list(&["~/[^/]*"]);
    let router = router(&[own]);
    let path = "/a\r\nx: é";
    let found = Request::get(path).find(&router).unwrap();
    let prefix = found.forwarded_prefix(path, true).unwrap();
    assert_eq!(prefix, "/a%0D%0Ax:%20%C3%A9");
    let found = Request::get("/é").find(&router).unwrap();
    assert_eq!(found.forwarded_prefix("/é", true), Some("/é".into()));
}

#[test]
fn a_header_that_is_not_utf8_matches_nothing_if_any_route_looks_at_it() {
    struct Broken;
    impl Headers for Broken {
        fn any(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            name == "x-tier" && visit(b"caf\xe9")
        }
    }
    let mut looks = route(1);
    looks.headers = headers(&[("X-Tier", &["gold"])]);
    let mut other = route(2);
    other.paths = list(&["/"]);
    let find = |routes: &[Route]| {
        let router = router(routes);
        Request::get("/").ask(|facts| {
            let facts = Facts {
                headers: &Broken,
                ..*facts
            };
            router.find(&facts).is_some()
        })
    };
    assert!(find(&[other.clone()]));
    assert!(!find(&[looks, other]));
}

#[test]
fn methods_and_headers_must_all_hold() {
    let mut own = route(1);
    own.methods = list(&["GET", "POST"]);
    own.headers = headers(&[("X-Tier", &["gold"]), ("x-area", &["~*^eu-"])]);
    let router = router(&[own]);
    let mut request = Request::get("/");
    request.headers = &[("x-tier", "Gold"), ("x-area", "EU-1")];
    assert_eq!(request.route(&router), Some(0));
    request.method = "PUT";
    assert_eq!(request.route(&router), None);
    request.method = "POST";
    request.headers = &[("x-tier", "gold")];
    assert_eq!(request.route(&router), None);
}

#[test]
fn server_names_are_asked_of_tls_only() {
    let mut own = route(1);
    own.snis = list(&["a.test"]);
    let router = router(&[own]);
    let mut request = Request::get("/");
    assert_eq!(request.route(&router), Some(0));
    request.protocol = Protocol::Https;
    assert_eq!(request.route(&router), None);
    request.sni = Some("a.test");
    assert_eq!(request.route(&router), Some(0));
    request.sni = Some("b.test");
    assert_eq!(request.route(&router), None);
}

#[test]
fn sources_are_blocks_or_addresses() {
    let mut own = route(1);
    own.sources = Some(vec![Endpoint {
        ip: Some("10.0.0.0/8".into()),
        port: None,
    }]);
    own.paths = list(&["/"]);
    let router = router(&[own]);
    let mut request = Request::get("/");
    assert_eq!(request.route(&router), None);
    request.source = "10.1.2.3:1";
    assert_eq!(request.route(&router), Some(0));
}

#[test]
fn stream_routes_and_routes_without_attributes_match_no_request() {
    let mut stream = route(1);
    stream.protocols = vec![Protocol::Tcp];
    stream.paths = list(&["/"]);
    assert_eq!(Request::get("/").route(&router(&[stream, route(2)])), None);
}

#[test]
fn an_invalid_expression_is_told_with_the_route_and_the_remedy() {
    let mut own = route(1);
    own.name = Some("users".into());
    own.paths = list(&["~/(?!x)"]);
    let error = Router::compile(&[own], RouterFlavor::TraditionalCompatible).unwrap_err();
    assert_eq!(error.name.as_deref(), Some("users"));
    let text = error.to_string();
    assert!(
        text.starts_with("route users: path \"~/(?!x)\" is no valid"),
        "{text}"
    );
    assert!(text.contains("as a prefix"), "{text}");
}

#[test]
fn a_bad_source_and_an_expression_are_refused() {
    let mut own = route(1);
    own.sources = Some(vec![Endpoint {
        ip: Some("ten".into()),
        port: None,
    }]);
    assert!(Router::compile(&[own], RouterFlavor::TraditionalCompatible).is_err());
    let mut own = route(1);
    own.expression = Some("http.path == \"/\"".into());
    assert!(Router::compile(&[own], RouterFlavor::TraditionalCompatible).is_err());
}
