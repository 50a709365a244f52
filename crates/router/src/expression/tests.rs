use keelgate_entities::RouterFlavor;
use keelgate_entities::expression::Subsystem;
use keelgate_entities::kinds::{Protocol, Route};

use super::Expression;
use crate::Router;
use crate::index::Decision;
use crate::pattern::Patterns;
use crate::tests::{Request, route};

fn rule(id: u128, text: &str, priority: u64) -> Route {
    let mut route = route(id);
    route.expression = Some(text.to_owned());
    route.priority = Some(priority);
    route
}

fn compile(routes: &[Route]) -> Router {
    Router::compile(routes, RouterFlavor::Expressions).unwrap()
}

fn holds(text: &str, request: Request<'_>) -> bool {
    request.find(&compile(&[rule(1, text, 0)])).is_some()
}

#[test]
fn or_binds_tighter_than_and() {
    let no = r#"http.method == "PUT""#;
    let yes = r#"http.method == "GET""#;
    assert!(!holds(
        &format!("{no} && {yes} || {yes}"),
        Request::get("/")
    ));
    assert!(holds(
        &format!("{yes} || {yes} && {yes}"),
        Request::get("/")
    ));
    assert!(!holds(
        &format!("{yes} || {yes} && {no}"),
        Request::get("/")
    ));
}

#[test]
fn a_header_fits_with_all_its_values_or_with_any() {
    let request = Request::get("/").with_headers(&[("x-a", "1"), ("x-a", "2")]);
    assert!(!holds(r#"http.headers.x_a == "1""#, request));
    assert!(holds(r#"any(http.headers.x_a) == "1""#, request));
    assert!(holds(r#"http.headers.x_a != "3""#, request));
    assert!(!holds(r#"http.headers.x_b != "3""#, request));
    assert!(holds(r#"!(http.headers.x_b == "3")"#, request));
}

#[test]
fn query_arguments_are_decoded() {
    let request = Request::get("/").with_query("q=a%20b&r");
    assert!(holds(r#"http.queries.q == "a b""#, request));
    assert!(holds(r#"http.queries.r == """#, request));
    assert!(!holds(r#"http.queries.s != "x""#, request));
}

#[test]
fn segments_are_counted_and_joined() {
    let request = Request::get("/a/b/c/");
    assert!(holds("http.path.segments.len == 3", request));
    assert!(holds(r#"http.path.segments.1_2 == "b/c""#, request));
    assert!(!holds(r#"http.path.segments.3 != "x""#, request));
    assert!(holds("http.path.segments.len == 0", Request::get("/")));
}

#[test]
fn addresses_and_ports_are_compared() {
    let request = Request::get("/");
    assert!(holds("net.src.ip in 127.0.0.0/8", request));
    assert!(holds("net.src.ip not in 10.0.0.0/8", request));
    assert!(holds(
        "net.dst.port >= 8000 && net.src.port == 50000",
        request
    ));
}

#[test]
fn the_greatest_priority_wins_and_expressions_come_before_attributes() {
    let mut attributes = route(9);
    attributes.hosts = Some(vec!["a.test".into()]);
    attributes.paths = Some(vec!["/a/b/c".into()]);
    let router = compile(&[
        attributes,
        rule(1, r#"http.path ^= "/a""#, 1),
        rule(2, r#"http.path ^= "/a/b""#, 0),
    ]);
    let found = |path| Request::get(path).find(&router).map(|found| found.route);
    assert_eq!(found("/a/b/c"), Some(1));
    let router = compile(&[
        rule(1, r#"http.path ^= "/a""#, 1),
        rule(2, r#"http.path ^= "/a""#, 1),
    ]);
    let tie = Request::get("/a").find(&router).map(|found| found.route);
    assert_eq!(tie, Some(1));
}

#[test]
fn the_last_test_that_held_tells_the_matched_path() {
    let matched = |text, path: &'static str| {
        let found = Request::get(path).find(&compile(&[rule(1, text, 0)]))?;
        found.matched_path(path).map(|part| part.into_owned())
    };
    assert_eq!(
        matched(r#"http.path ^= "/a""#, "/a/b").as_deref(),
        Some("/a")
    );
    assert_eq!(
        matched(r#"http.path ^= "/a" && http.path =^ "b""#, "/a/b").as_deref(),
        Some("b")
    );
    assert_eq!(
        matched(r#"lower(http.path) ^= "/a""#, "/A/b").as_deref(),
        Some("/a")
    );
    assert_eq!(matched(r#"http.method == "GET""#, "/a"), None);
}

#[test]
fn every_regular_expression_adds_its_captures() {
    let routes = [rule(
        1,
        r#"http.path ~ r"^/u/(?<id>\d+)" && http.headers.x_a ~ "^(v.)$""#
            .replace("r\"^/u/(?<id>\\d+)\"", "r#\"^/u/(?<id>\\d+)\"#")
            .as_str(),
        0,
    )];
    let router = compile(&routes);
    Request::get("/u/17/x")
        .with_headers(&[("x-a", "v2")])
        .ask(|facts| {
            let found = router.find(facts).unwrap();
            let captures = router.captures(&found, facts).unwrap();
            assert_eq!(captures.get("id"), Some("17"));
            assert_eq!(captures.get("1"), Some("v2"));
            assert_eq!(captures.get("0"), Some("v2"));
        });
}

#[test]
fn routes_for_one_scheme_match_that_scheme() {
    let mut clear = rule(1, r#"http.path ^= "/""#, 0);
    clear.protocols = vec![Protocol::Http];
    let mut secure = rule(2, r#"http.path ^= "/""#, 0);
    secure.protocols = vec![Protocol::Https];
    let asked = |routes: &[Route], protocol| {
        let request = Request::get("/").over(protocol);
        request.find(&compile(routes)).is_some()
    };
    assert!(!asked(std::slice::from_ref(&clear), Protocol::Https));
    assert!(asked(std::slice::from_ref(&clear), Protocol::Http));
    assert!(asked(std::slice::from_ref(&secure), Protocol::Http));
}

#[test]
fn keys_are_what_every_match_demands() {
    let keys = |text: &str| {
        let (_, keys) =
            Expression::compile(text, Subsystem::Http, &mut Patterns::default()).unwrap();
        (keys.hosts.len(), keys.paths)
    };
    let (hosts, paths) =
        keys(r#"http.host == "a" || http.host =^ ".b" && http.path ~ "^/x/[0-9]""#);
    assert_eq!((hosts, paths), (2, vec!["/x/".to_owned()]));
    let (hosts, paths) = keys(r#"!(http.host == "a") && lower(http.path) == "/x""#);
    assert_eq!((hosts, paths), (0, vec![String::new()]));
    let (_, paths) = keys(r#"http.path ^= "/a" && http.path ^= "/a/b" || http.path == "/c""#);
    assert_eq!(paths, ["/a/b", "/c"].map(str::to_owned));
}

#[test]
fn a_host_and_a_beginning_of_the_path_need_no_further_question() {
    let decision = |text: &str| {
        Expression::compile(text, Subsystem::Http, &mut Patterns::default())
            .unwrap()
            .1
            .decision
    };
    let path = r#"http.path ^= "/a""#;
    let host = r#"http.host == "a.test""#;
    assert_eq!(decision(path), Decision::Path);
    assert_eq!(decision(host), Decision::Host);
    assert_eq!(decision(&format!("{path} && {host}")), Decision::Path);
    for text in [
        r#"http.path == "/a""#.to_owned(),
        format!("{path} || {host}"),
        format!("!({host})"),
        format!("{path} && {path}"),
        format!(r#"{path} && {host} && http.method == "GET""#),
        r#"http.host == """#.to_owned(),
        r#"lower(http.path) ^= "/a""#.to_owned(),
    ] {
        assert_eq!(decision(&text), Decision::Rule, "{text}");
    }
    let both = format!("{host} && {path}");
    assert!(holds(&both, Request::get("/a/b")));
    assert!(!holds(&both, Request::get("/b")));
}
