//! The route that is found does not depend on the order in which routes are written, and what it
//! matched is a part of the path.
//!
//! Lines of `HOST PATH METHOD` are routes, the last is the request; `-` stands for nothing.

use std::net::SocketAddr;

use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::{Protocol, Route};
use keelgate_router::path::{escape, normalise, upstream_path};
use keelgate_router::{Facts, Headers, Router};
use serde_json::json;
use uuid::Uuid;

const MOST_ROUTES: usize = 32;

struct NoHeaders;

impl Headers for NoHeaders {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

fn words(line: &str) -> [Option<&str>; 3] {
    let mut words = line
        .split(' ')
        .map(|word| (word != "-" && !word.is_empty()).then_some(word));
    [0; 3].map(|_| words.next().flatten())
}

fn route(number: usize, line: &str) -> Option<Route> {
    let [host, path, method] = words(line);
    let route = json!({
        "id": Uuid::from_u128(number as u128),
        "protocols": ["http"],
        "hosts": host.map(|host| [host]),
        "paths": path.map(|path| [path]),
        "methods": method.map(|method| [method]),
    });
    serde_json::from_value(route).ok()
}

pub(crate) fn run(text: &str) {
    let mut lines = text.lines();
    let Some(request) = lines.next_back() else {
        return;
    };
    let mut routes: Vec<Route> = lines
        .take(MOST_ROUTES)
        .enumerate()
        .filter_map(|(number, line)| route(number, line))
        .collect();
    let Ok(router) = Router::compile(&routes, RouterFlavor::TraditionalCompatible) else {
        return;
    };
    let [host, path, method] = words(request);
    let Ok(path) = normalise(path.unwrap_or("/")) else {
        return;
    };
    let facts = Facts {
        protocol: Protocol::Http,
        method: method.unwrap_or("GET"),
        authority: host.unwrap_or_default(),
        host: host.unwrap_or_default(),
        port: 80,
        path: &path,
        query: None,
        headers: &NoHeaders,
        sni: None,
        source: SocketAddr::from(([127, 0, 0, 1], 1)),
        destination: SocketAddr::from(([127, 0, 0, 1], 80)),
    };
    let found = router.find(&facts);
    if let Some(found) = &found {
        let matched = found.matched_path(&path);
        assert!(matched.is_none_or(|matched| path.contains(&*matched)));
        if let Some(captures) = router.captures(found, &facts) {
            assert!(captures.iter().all(|(_, value)| path.contains(value)));
        }
        for strip_path in [false, true] {
            let upstream = upstream_path(Some("/base/"), &path, found, strip_path);
            assert!(escape(&upstream).starts_with("/base"), "{upstream}");
        }
    }
    let first = found.map(|found| routes[found.route].id);
    routes.reverse();
    let router = Router::compile(&routes, RouterFlavor::TraditionalCompatible)
        .expect("the order of routes is no reason to refuse them");
    let second = router.find(&facts).map(|found| routes[found.route].id);
    assert_eq!(first, second, "the order of routes decides");
}
