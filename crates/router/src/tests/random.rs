//! The index finds what asking every rule in turn finds.

use keelgate_entities::RouterFlavor;
use keelgate_entities::expression::Subsystem;
use keelgate_entities::kinds::Route;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use uuid::Uuid;

use super::{Request, headers, list, route, router};
use crate::expression::Expression;
use crate::host::{Shape, split_port};
use crate::pattern::Patterns;
use crate::priority::Rank;
use crate::rule::{Rule, split};
use crate::{Facts, Router};

const HOSTS: &[&str] = &[
    "a.test",
    "b.test",
    "*.test",
    "a.*",
    "*.a.test",
    "x.*",
    "a.test:80",
    "*.test:80",
    "*",
];
const PATHS: &[&str] = &[
    "/",
    "/a",
    "/b",
    "/a/",
    "/a/b",
    "/ab",
    "/b/c",
    "~/a",
    "~/a/(b|c)",
    "~/[ab]$",
    "~/b|/x",
    "~/a/b?",
];
const REQUEST_HOSTS: &[&str] = &["a.test", "b.test", "x.a.test", "x.b", "c", ""];
const REQUEST_PATHS: &[&str] = &[
    "/", "/a", "/b", "/a/", "/a/b", "/a/c", "/ab", "/b/c/d", "/x", "",
];

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let one = (
        weighted(0.6, subsequence(HOSTS, 1..4)),
        weighted(0.7, subsequence(PATHS, 1..5)),
        weighted(0.3, subsequence(&["GET", "POST"][..], 1..2)),
        weighted(0.3, select(&["1", "~*^[12]$"][..])),
        -1_i64..3,
        any::<u8>(),
    );
    vec(one, 1..30).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(n, (hosts, paths, methods, header, regex_priority, id))| {
                let mut own = route((u128::from(id) << 64) + n as u128);
                own.hosts = hosts.map(|hosts| list(&hosts).unwrap());
                own.paths = paths.map(|paths| list(&paths).unwrap());
                own.methods = methods.map(|methods| list(&methods).unwrap());
                own.headers = header.and_then(|value| headers(&[("x", &[value])]));
                own.regex_priority = regex_priority;
                own
            })
            .collect()
    })
}

/// The reference: every rule, in order of rank.
struct Naive(RouterFlavor, Vec<(Rank, Rule, Vec<String>)>);

impl Naive {
    fn new(routes: &[Route], flavor: RouterFlavor) -> Self {
        let mut patterns = Patterns::default();
        let mut rules = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let any = route.hosts.is_some()
                || route.paths.is_some()
                || route.methods.is_some()
                || route.headers.is_some();
            for (id, paths) in split(route).into_iter().filter(|_| any) {
                let rank = Rank::of(route, &paths, id, flavor);
                let (rule, _) =
                    Rule::of_attributes(index as u32, route, &paths, flavor, &mut patterns)
                        .unwrap();
                let paths = paths.iter().map(|path| path.to_string()).collect();
                rules.push((rank, rule, paths));
            }
        }
        rules.sort_by_key(|(rank, ..)| *rank);
        Self(flavor, rules)
    }

    fn find(&self, routes: &[Route], facts: &Facts<'_>) -> Option<(usize, Option<String>)> {
        let asked = &crate::request::Request::new(facts, self.0);
        self.1.iter().find_map(|(_, rule, paths)| {
            let hosts = routes[rule.route as usize].hosts.as_deref();
            let host =
                hosts.is_none_or(|hosts| hosts.iter().any(|own| host_matches(own, facts, self.0)));
            let path = paths
                .iter()
                .find_map(|own| path_matches(own, facts.path, self.0));
            (host && (paths.is_empty() || path.is_some()) && rule.find(asked, 0).is_some())
                .then_some((rule.route as usize, path))
        })
    }
}

fn host_matches(pattern: &str, facts: &Facts<'_>, flavor: RouterFlavor) -> bool {
    if flavor == RouterFlavor::Traditional {
        return host_matches_in_first_router(pattern, facts);
    }
    let (name, port) = split_port(pattern);
    port.is_none_or(|port| port == facts.port)
        && match Shape::of(name) {
            Shape::Exact(name) => facts.host == name,
            Shape::Suffix(name) => facts.host.ends_with(name),
            Shape::Prefix(name) => facts.host.starts_with(name),
        }
}

/// As regular expressions on the host with its port, or with the one of the scheme.
fn host_matches_in_first_router(pattern: &str, facts: &Facts<'_>) -> bool {
    if !pattern.contains('*') {
        return facts.authority == pattern || facts.host == pattern;
    }
    let (_, port) = split_port(pattern);
    let ending = if port.is_some() { "$" } else { "(?::[0-9]+)?$" };
    let source = pattern.replace('.', "\\.").replace('*', ".+");
    let regex = regex::Regex::new(&format!("^{source}{ending}")).unwrap();
    let with_port = if facts.authority.contains(':') {
        facts.authority.to_owned()
    } else {
        format!("{}:80", facts.host)
    };
    regex.is_match(&with_port)
}

fn path_matches(pattern: &str, path: &str, flavor: RouterFlavor) -> Option<String> {
    match pattern.strip_prefix('~') {
        Some(source) => {
            let source = match flavor {
                RouterFlavor::Traditional => format!("^(?:{source})"),
                _ => format!("^{source}"),
            };
            let regex = regex::Regex::new(&source).unwrap();
            Some(regex.find(path)?.as_str().to_owned())
        }
        None => path.starts_with(pattern).then(|| pattern.to_owned()),
    }
}

fn expression() -> impl Strategy<Value = String> {
    let test = (
        select(&["http.path", "http.host", "lower(http.path)"][..]),
        select(&["==", "!=", "^=", "=^", "contains", "~"][..]),
        select(&["/a", "/a/b", "/", "a.test", ".test", "b.", ""][..]),
    )
        .prop_map(|(field, operator, value)| format!("{field} {operator} {value:?}"));
    test.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("!({one})")),
            vec(inner.clone(), 1..4).prop_map(|some| format!("({})", some.join(" && "))),
            vec(inner, 1..4).prop_map(|some| format!("({})", some.join(" || "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_index_agrees_with_asking_every_rule(
        routes in routes(),
        first in any::<bool>(),
        requests in vec(
            (select(REQUEST_HOSTS), select(REQUEST_PATHS), select(&["GET", "PUT"][..]),
             select(&[80_u16, 8000][..]), select(&["1", "2", "3"][..])),
            1..30,
        ),
    ) {
        let flavor = if first { RouterFlavor::Traditional } else { RouterFlavor::default() };
        let router = Router::compile(&routes, flavor).unwrap();
        let naive = Naive::new(&routes, flavor);
        for (host, path, method, port, header) in requests {
            let headers = [("x", header)];
            let explicit_port = port == 80 && !host.is_empty();
            let request =
                Request { host, method, port, explicit_port, headers: &headers, ..Request::get(path) };
            let found = request.find(&router).map(|found| {
                (found.route, found.matched_path(path).map(|part| part.into_owned()))
            });
            let expected = request.ask(|facts| naive.find(&routes, facts));
            prop_assert_eq!(found, expected, "{:?}", request);
        }
    }

    #[test]
    fn expressions_are_found_as_if_each_were_asked(
        texts in vec(expression(), 1..24),
        requests in vec((select(REQUEST_HOSTS), select(REQUEST_PATHS), select(&["GET", "PUT"][..])), 1..20),
    ) {
        let routes: Vec<Route> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let mut own = route(index as u128 + 1);
                own.expression = Some(text.clone());
                own
            })
            .collect();
        let router = Router::compile(&routes, RouterFlavor::Expressions).unwrap();
        let alone: Vec<Expression> = texts
            .iter()
            .map(|text| Expression::compile(text, Subsystem::Http, &mut Patterns::default()).unwrap().0)
            .collect();
        for (host, path, method) in requests {
            let request = Request { host, method, ..Request::get(path) };
            let found = request.find(&router).map(|found| found.route);
            // Among equal priorities the greatest id wins, here the last.
            let expected = request.ask(|facts| {
                let asked = crate::request::Request::new(facts, RouterFlavor::Expressions);
                alone.iter().rposition(|own| own.find(&asked).is_some())
            });
            prop_assert_eq!(found, expected, "{:?}", request);
        }
    }

    #[test]
    fn the_order_of_the_routes_means_nothing(routes in routes(), path in select(REQUEST_PATHS)) {
        let winner = |routes: &[Route]| -> Option<Uuid> {
            let found = Request::get(path).find(&router(routes))?;
            Some(routes[found.route].id)
        };
        let mut reversed = routes.clone();
        reversed.reverse();
        prop_assert_eq!(winner(&routes), winner(&reversed));
    }
}
