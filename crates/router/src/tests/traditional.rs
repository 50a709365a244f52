//! Where the `traditional` flavour differs.

use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::{Protocol, Route};

use super::{Request, headers, list, route};
use crate::Router;

fn router(routes: &[Route]) -> Router {
    Router::compile(routes, RouterFlavor::Traditional).unwrap()
}

fn with(change: impl FnOnce(&mut Route)) -> Route {
    let mut route = route(1);
    change(&mut route);
    route
}

/// Whether the first route wins, whatever the ids.
fn first_wins(first: &Route, second: &Route, request: Request<'_>) -> bool {
    [(1, 2), (2, 1)].into_iter().all(|(a, b)| {
        let (mut first, mut second) = (first.clone(), second.clone());
        first.id = uuid::Uuid::from_u128(a);
        second.id = uuid::Uuid::from_u128(b);
        request.route(&router(&[first, second])) == Some(0)
    })
}

fn host_matches(pattern: &str, host: &str, port: Option<u16>) -> bool {
    let own = with(|r| r.hosts = list(&[pattern]));
    let request = Request {
        host,
        port: port.unwrap_or(8000),
        explicit_port: port.is_some(),
        ..Request::get("/x")
    };
    request.route(&router(&[own])).is_some()
}

#[test]
fn more_kinds_of_attributes_come_before_plain_hosts_and_regular_expressions() {
    let plain = with(|r| r.hosts = list(&["a.test"]));
    let two = with(|r| {
        r.paths = list(&["/"]);
        r.methods = list(&["GET"]);
    });
    let regex = with(|r| r.paths = list(&["~/a"]));
    let wild = with(|r| {
        r.hosts = list(&["*.test"]);
        r.paths = list(&["/"]);
    });
    let request = Request::get("/a/b");
    assert!(first_wins(&two, &plain, request));
    assert!(first_wins(&two, &regex, request));
    assert!(first_wins(&wild, &plain, request));
}

#[test]
fn among_as_many_kinds_hosts_come_before_headers_before_paths_before_methods() {
    let own = [
        with(|r| r.hosts = list(&["*.test"])),
        with(|r| r.headers = headers(&[("x", &["1"])])),
        with(|r| r.paths = list(&["~/a"])),
        with(|r| r.methods = list(&["GET"])),
    ];
    let request = Request {
        headers: &[("x", "1")],
        ..Request::get("/a")
    };
    for pair in own.windows(2) {
        assert!(first_wins(&pair[0], &pair[1], request));
    }
}

#[test]
fn plain_hosts_come_before_wildcards_and_these_before_nothing_but_the_path() {
    let plain = with(|r| {
        r.hosts = list(&["a.test"]);
        r.paths = list(&["/"]);
    });
    let wild = with(|r| {
        r.hosts = list(&["*.test"]);
        r.paths = list(&["/a/b"]);
    });
    let regex = with(|r| {
        r.hosts = list(&["*.test"]);
        r.paths = list(&["~/a"]);
    });
    let request = Request::get("/a/b");
    assert!(first_wins(&plain, &wild, request));
    assert!(first_wins(&plain, &regex, request));
    assert!(first_wins(&regex, &wild, request));
}

#[test]
fn a_wildcard_with_a_port_comes_first_of_all_hosts() {
    let port = with(|r| r.hosts = list(&["*.test:80"]));
    let plain = with(|r| r.hosts = list(&["a.test"]));
    assert!(first_wins(&port, &plain, Request::get("/")));
}

#[test]
fn regex_priority_is_a_whole_number_of_its_own() {
    let ranked = |priority| {
        with(|r| {
            r.paths = list(&["~/a"]);
            r.regex_priority = priority;
        })
    };
    let request = Request::get("/a");
    assert!(first_wins(&ranked(8192), &ranked(1), request));
    assert!(first_wins(&ranked(0), &ranked(-1), request));
}

#[test]
fn the_oldest_of_equal_routes_wins() {
    let aged = |created_at| {
        with(|r| {
            r.paths = list(&["/a"]);
            r.created_at = Some(created_at);
        })
    };
    assert!(first_wins(&aged(10), &aged(11), Request::get("/a")));
}

#[test]
fn a_host_with_a_port_asks_what_the_client_named() {
    assert!(host_matches("a.test:8000", "a.test", Some(8000)));
    assert!(!host_matches("a.test:8000", "a.test", None));
    assert!(host_matches("a.test", "a.test", Some(8000)));
    assert!(!host_matches("a.test:80", "a.test", None));
    assert!(host_matches("*.test:80", "a.test", None));
    assert!(!host_matches("*.test:8000", "a.test", None));
    assert!(host_matches("*.test:8000", "a.test", Some(8000)));
}

#[test]
fn a_star_at_the_beginning_stands_for_one_letter_at_least() {
    assert!(host_matches("*.test", "a.test", None));
    assert!(!host_matches("*.test", ".test", None));
}

#[test]
fn every_alternative_of_a_regular_expression_is_anchored() {
    let router = router(&[with(|r| r.paths = list(&["~/a|/b"]))]);
    assert_eq!(Request::get("/b").route(&router), Some(0));
    assert_eq!(Request::get("/x/b").route(&router), None);
}

#[test]
fn the_whole_capture_is_the_whole_path() {
    let router = router(&[with(|r| r.paths = list(&["~/u/(?<id>[0-9]+)"]))]);
    Request::get("/u/7/x").ask(|facts| {
        let found = router.find(facts).unwrap();
        assert_eq!(found.matched_path("/u/7/x").as_deref(), Some("/u/7"));
        let captures = router.captures(&found, facts).unwrap();
        assert_eq!(captures.get("0"), Some("/u/7/x"));
        assert_eq!(captures.get("id"), Some("7"));
    });
}

#[test]
fn server_names_have_no_wildcards_and_do_not_matter_in_clear() {
    let asks = |name: &str| router(&[with(|r| r.snis = list(&[name]))]);
    let tls = |name| Request {
        sni: Some(name),
        ..Request::get("/").over(Protocol::Https)
    };
    assert_eq!(Request::get("/").route(&asks("a.test")), Some(0));
    assert_eq!(tls("a.test").route(&asks("a.test")), Some(0));
    assert_eq!(tls("b.test").route(&asks("a.test")), None);
    assert_eq!(tls("a.test").route(&asks("*.test")), None);
}

#[test]
fn text_that_is_no_utf8_is_no_obstacle() {
    struct Broken;
    impl crate::Headers for Broken {
        fn any(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            name == "x" && visit(b"\xe9")
        }
    }
    let own = [
        with(|r| r.headers = headers(&[("x", &["1"])])),
        with(|r| r.paths = list(&["/"])),
    ];
    let found = Request::get("/").ask(|facts| {
        let facts = crate::Facts {
            headers: &Broken,
            ..*facts
        };
        router(&own).find(&facts).map(|found| found.route)
    });
    assert_eq!(found, Some(1));
}
