use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::{Endpoint, Protocol, Route};

use super::{StreamFacts, StreamRouter};
use crate::tests::route;

fn stream(id: u128, protocols: &[Protocol]) -> Route {
    let mut route = route(id);
    route.protocols = protocols.to_vec();
    route
}

fn endpoints(list: &[(Option<&str>, Option<u16>)]) -> Option<Vec<Endpoint>> {
    let endpoint = |(ip, port): &(Option<&str>, Option<u16>)| Endpoint {
        ip: ip.map(str::to_owned),
        port: *port,
    };
    Some(list.iter().map(endpoint).collect())
}

fn names(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|name| (*name).to_owned()).collect())
}

fn compile(routes: &[Route]) -> StreamRouter {
    StreamRouter::compile(routes, RouterFlavor::TraditionalCompatible).unwrap()
}

/// A client from 10.1.2.3:5000 to 192.0.2.1 at `port`.
fn find(router: &StreamRouter, protocol: Protocol, sni: Option<&str>, port: u16) -> Option<usize> {
    router.find(&StreamFacts {
        protocol,
        sni,
        source: "10.1.2.3:5000".parse().unwrap(),
        destination: ([192, 0, 2, 1], port).into(),
    })
}

#[test]
fn a_route_takes_only_what_comes_its_way() {
    use Protocol::{Http, Tcp, Tls, TlsPassthrough, Udp};
    let mut routes = vec![
        stream(1, &[Udp]),
        stream(2, &[Tcp]),
        stream(3, &[TlsPassthrough]),
        stream(4, &[Http]),
    ];
    for route in &mut routes {
        route.sources = endpoints(&[(Some("10.0.0.0/8"), None)]);
    }
    let router = compile(&routes);
    assert_eq!(find(&router, Udp, None, 1), Some(0));
    assert_eq!(find(&router, Tcp, None, 1), Some(1));
    assert_eq!(find(&router, Tls, Some("a.test"), 1), Some(2));
    assert_eq!(find(&compile(&routes[..1]), Tcp, None, 1), None);
}

#[test]
fn server_names_match_whole_or_by_wildcard_and_the_port_tells_others_apart() {
    use Protocol::{Tcp, Tls};
    let mut routes = vec![
        stream(1, &[Tls]),
        stream(2, &[Tls]),
        stream(3, &[Tcp, Tls]),
        stream(4, &[Tcp]),
    ];
    routes[0].snis = names(&["a.test", "fq.test."]);
    routes[1].snis = names(&["*.b.test"]);
    routes[2].snis = names(&["c.test"]);
    routes[2].destinations = endpoints(&[(None, Some(9000))]);
    routes[3].destinations = endpoints(&[(None, Some(9001)), (Some("192.0.2.1"), Some(9002))]);
    let router = compile(&routes);
    assert_eq!(find(&router, Tls, Some("a.test"), 9000), Some(0));
    assert_eq!(find(&router, Tls, Some("fq.test"), 9000), Some(0));
    assert_eq!(find(&router, Tls, Some("x.b.test"), 9000), Some(1));
    assert_eq!(find(&router, Tls, Some("c.test"), 9000), Some(2));
    assert_eq!(find(&router, Tls, Some("c.test"), 9001), None);
    assert_eq!(find(&router, Tls, None, 9000), None);
    // A connection in clear has no server name to ask for.
    assert_eq!(find(&router, Tcp, None, 9000), Some(2));
    assert_eq!(find(&router, Tcp, None, 9001), Some(3));
    assert_eq!(find(&router, Tcp, None, 9002), Some(3));
    assert_eq!(find(&router, Tcp, None, 9003), None);
}

#[test]
fn the_narrower_route_is_asked_first() {
    let port = || endpoints(&[(None, Some(9000))]);
    let all = || endpoints(&[(Some("0.0.0.0/0"), None)]);
    let address = || endpoints(&[(Some("192.0.2.1"), None)]);
    // From the first to the last: sources, destinations, server names.
    let order = [
        (port(), port(), None),
        (all(), all(), None),
        (None, port(), names(&["a.test"])),
        (None, None, names(&["a.test"])),
        (port(), None, None),
        (all(), None, None),
        (None, address(), None),
        (None, port(), None),
        (None, all(), None),
    ];
    let mut routes: Vec<Route> = Vec::new();
    for (id, (sources, destinations, snis)) in (0..).zip(order) {
        let mut route = stream(id, &[Protocol::Tls]);
        route.sources = sources;
        route.destinations = destinations;
        route.snis = snis;
        routes.push(route);
    }
    let facts = StreamFacts {
        protocol: Protocol::Tls,
        sni: Some("a.test"),
        source: "10.1.2.3:9000".parse().unwrap(),
        destination: "192.0.2.1:9000".parse().unwrap(),
    };
    for first in 0..routes.len() {
        assert_eq!(compile(&routes[first..]).find(&facts), Some(0), "{first}");
    }
}

#[test]
fn equals_are_told_apart_by_id_and_a_route_without_attributes_matches_nothing() {
    let mut routes = [1, 9, 5, 99].map(|id| stream(id, &[Protocol::Tcp]));
    for route in &mut routes[..3] {
        route.destinations = endpoints(&[(None, Some(9000))]);
    }
    let router = compile(&routes);
    assert_eq!(find(&router, Protocol::Tcp, None, 9000), Some(1));
    assert_eq!(find(&router, Protocol::Tcp, None, 9001), None);
}

#[test]
fn expressions_ask_for_addresses_ports_protocol_and_server_name() {
    let rules = [
        (r#"tls.sni =^ ".a.test" && net.dst.port == 9000"#, 2),
        (
            r#"net.protocol == "udp" && net.src.ip in 10.0.0.0/8 && net.src.port > 4000"#,
            1,
        ),
        ("net.dst.ip == 192.0.2.1", 0),
    ];
    let mut routes = Vec::new();
    for (id, (text, priority)) in (0..).zip(rules) {
        use Protocol::{Tcp, Tls, Udp};
        let mut route = stream(id, &[Tcp, Tls, Udp]);
        route.expression = Some(text.to_owned());
        route.priority = Some(priority);
        routes.push(route);
    }
    let router = StreamRouter::compile(&routes, RouterFlavor::Expressions).unwrap();
    assert_eq!(
        find(&router, Protocol::Tls, Some("x.a.test"), 9000),
        Some(0)
    );
    assert_eq!(find(&router, Protocol::Udp, None, 9000), Some(1));
    assert_eq!(find(&router, Protocol::Tcp, None, 9000), Some(2));

    routes[0].expression = Some(r#"http.path == "/""#.to_owned());
    assert!(StreamRouter::compile(&routes, RouterFlavor::Expressions).is_err());
}

#[test]
fn ten_thousand_names_are_found_by_hash() {
    let routes: Vec<Route> = (0..10_000)
        .map(|id| {
            let mut route = stream(id, &[Protocol::TlsPassthrough]);
            route.snis = Some(vec![format!("h{id}.test")]);
            route
        })
        .collect();
    let router = compile(&routes);
    assert!(router.anywhere.is_empty() && router.by_name.values().all(|list| list.len() == 1));
    assert_eq!(
        find(&router, Protocol::Tls, Some("h777.test"), 1),
        Some(777)
    );
}

#[test]
fn the_traditional_flavour_counts_kinds_and_asks_every_session_for_its_name() {
    use Protocol::{Tcp, Tls};
    let mut named = stream(1, &[Tls, Tcp]);
    named.snis = names(&["a.test"]);
    let mut both = stream(2, &[Tls]);
    both.snis = names(&["a.test"]);
    both.destinations = endpoints(&[(None, Some(443))]);
    let router = StreamRouter::compile(&[named, both], RouterFlavor::Traditional).unwrap();
    assert_eq!(find(&router, Tls, Some("a.test"), 443), Some(1));
    assert_eq!(find(&router, Tls, Some("a.test"), 1), Some(0));
    assert_eq!(find(&router, Tcp, None, 1), None);
}
