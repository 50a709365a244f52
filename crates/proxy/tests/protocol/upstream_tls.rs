//! What an upstream over TLS sees of who calls it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use keelgate_runtime::certificates::certified_key;
use serde_json::{Value, json};

use crate::balancing::balanced;
use crate::http2_upstream::told;
use crate::support::{Client, Gateway, PATIENCE, config};
use crate::tls::{Pair, pair, tls_upstream_playing};

const GET: &str = "GET / HTTP/1.1\r\nHost: asked.test\r\n\r\n";

/// An upstream that tells, for each of its connections, the server name and which of `clients` called.
fn recording(clients: &[&Pair]) -> (SocketAddr, Receiver<String>) {
    let (tell, seen) = told();
    let known: Vec<_> = clients.iter().map(|client| client.der.clone()).collect();
    let own = pair("own.test");
    let address = tls_upstream_playing(&own, Some(clients), move |mut client: Client<_>| {
        let mut first = true;
        while client.request().is_some() {
            if std::mem::take(&mut first) {
                let session = &client.stream.conn;
                let name = session.server_name().unwrap_or("no name").to_owned();
                let shown = session.peer_certificates().map(|chain| &chain[0]);
                let who = shown.map(|shown| known.iter().position(|known| known == shown));
                tell(format!("{name} {:?}", who.flatten()));
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (address, seen)
}

fn over_tls(address: SocketAddr) -> Value {
    let mut config = config(address);
    config["services"][0]["protocol"] = "https".into();
    config["services"][0]["host"] = "localhost".into();
    config["services"][0]["tls_verify"] = false.into();
    config
}

fn next(seen: &Receiver<String>) -> String {
    seen.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn the_server_name_is_the_host_that_is_sent() {
    let (address, seen) = recording(&[]);
    let gateway = Gateway::start(over_tls(address));
    assert_eq!(gateway.ask(GET).status, 200);
    assert_eq!(next(&seen), "localhost None");
    let mut preserving = over_tls(address);
    preserving["routes"][0]["preserve_host"] = true.into();
    gateway.swap(preserving);
    assert_eq!(gateway.ask(GET).status, 200);
    assert_eq!(next(&seen), "asked.test None");
    // An address is no name.
    let mut bare = over_tls(address);
    bare["services"][0]["host"] = "127.0.0.1".into();
    gateway.swap(bare);
    assert_eq!(gateway.ask(GET).status, 200);
    assert_eq!(next(&seen), "no name None");
}

const OF_SERVICE: &str = "00000000-0000-4000-8000-000000000061";
const OF_UPSTREAM: &str = "00000000-0000-4000-8000-000000000062";

fn certificates(pairs: [(&str, &Pair); 2]) -> Value {
    let all = pairs.map(|(id, pair)| json!({"id": id, "cert": pair.cert, "key": pair.key}));
    json!(all)
}

#[test]
fn the_nearest_certificate_is_shown() {
    let pairs = ["service.test", "upstream.test", "node.test"].map(pair);
    let [of_service, of_upstream, of_node] = &pairs;
    let (address, seen) = recording(&[of_service, of_upstream, of_node]);
    let mut config = balanced(&[address], json!({}));
    config["services"][0]["protocol"] = "https".into();
    config["services"][0]["tls_verify"] = false.into();
    config["certificates"] = certificates([(OF_SERVICE, of_service), (OF_UPSTREAM, of_upstream)]);
    let mut gateway = Gateway::start(json!({}));
    let key = certified_key(&of_node.cert, &of_node.key).unwrap();
    gateway.env.client_certificate = Some(Arc::new(key));
    let shown = |config: &Value| {
        gateway.swap(config.clone());
        assert_eq!(gateway.ask(GET).status, 200);
        next(&seen).rsplit_once("name ").unwrap().1.to_owned()
    };
    assert_eq!(shown(&config), "Some(2)");
    config["upstreams"][0]["client_certificate"] = json!({"id": OF_UPSTREAM});
    assert_eq!(shown(&config), "Some(1)");
    config["services"][0]["client_certificate"] = json!({"id": OF_SERVICE});
    assert_eq!(shown(&config), "Some(0)");
}

#[test]
fn a_connection_does_not_outlive_the_certificate_that_it_showed() {
    let pairs = ["before.test", "after.test"].map(pair);
    let [before, after] = &pairs;
    let (address, seen) = recording(&[before, after]);
    let mut config = over_tls(address);
    config["services"][0]["client_certificate"] = json!({"id": OF_SERVICE});
    config["certificates"] = certificates([(OF_SERVICE, before), (OF_UPSTREAM, before)]);
    let gateway = Gateway::with(config.clone(), |settings| settings.workers = 1, |_| None);
    for _ in 0..3 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    assert_eq!(next(&seen), "localhost Some(0)");
    config["certificates"] = certificates([(OF_SERVICE, after), (OF_UPSTREAM, before)]);
    gateway.swap(config);
    assert_eq!(gateway.ask(GET).status, 200);
    // The first since then that was opened at all.
    assert_eq!(next(&seen), "localhost Some(1)");
}
