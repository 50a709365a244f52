//! Active health checks: targets that die, are probed out, and return.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use keelgate_balancer::Health;
use serde_json::{Value, json};

use crate::balancing::{GET, balanced};
use crate::support::{Gateway, PATIENCE, nobody, upstream};
use crate::tls::{pair, tls_upstream_for};

/// Checks by one success and one failure of any kind, ten times a second.
fn checks(active: Value) -> Value {
    let mut checks = json!({"active": {
        "type": "http", "http_path": "/health", "timeout": 60, "concurrency": 10,
        "https_verify_certificate": true,
        "healthy": {"interval": 0.1, "http_statuses": [200, 302], "successes": 1},
        "unhealthy": {
            "interval": 0.1, "http_statuses": [429, 500, 503],
            "http_failures": 1, "tcp_failures": 1, "timeouts": 1,
        },
    }});
    let own = checks["active"].as_object_mut().unwrap();
    own.extend(active.as_object().unwrap().clone());
    json!({"healthchecks": checks})
}

/// A target with a switch: what it answers to probes.
fn switched() -> (SocketAddr, Arc<AtomicU16>, Arc<AtomicUsize>) {
    let status = Arc::new(AtomicU16::new(200));
    let probes = Arc::new(AtomicUsize::new(0));
    let (own, count) = (Arc::clone(&status), Arc::clone(&probes));
    let (address, _) = upstream(move |mut client, _| {
        while let Some(request) = client.request() {
            let mut status = 200;
            if request.head.starts_with("GET /health ") {
                count.fetch_add(1, Ordering::SeqCst);
                status = own.load(Ordering::SeqCst);
            }
            client.send(&format!(
                "HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\nok"
            ));
        }
    });
    (address, status, probes)
}

fn health(gateway: &Gateway) -> Vec<Health> {
    let runtime = gateway.shared.load();
    let balancer = runtime.upstreams()[0].balancer();
    balancer.peers().map(|peer| peer.health).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < patience, "not {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn becomes(gateway: &Gateway, expected: &[Health]) {
    until(&format!("{expected:?}"), || health(gateway) == expected);
}

use Health::{Healthy, Unhealthy};

const OTHER: &str = "00000000-0000-4000-8000-000000000072";

#[test]
fn a_target_that_dies_is_probed_out_and_returns() {
    let (stays, ..) = switched();
    let address = nobody();
    let gateway = Gateway::start(balanced(&[stays, address], checks(json!({}))));
    becomes(&gateway, &[Healthy, Unhealthy]);
    assert_eq!(gateway.ask(GET).status, 200);
    // It returns.
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = crate::support::Client::new(stream.unwrap());
            std::thread::spawn(move || {
                while client.request().is_some() {
                    client.send("HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    becomes(&gateway, &[Healthy, Healthy]);
}

#[test]
fn the_status_of_probes_decides() {
    let (address, status, _) = switched();
    let gateway = Gateway::start(balanced(&[address], checks(json!({}))));
    becomes(&gateway, &[Healthy]);
    status.store(503, Ordering::SeqCst);
    becomes(&gateway, &[Unhealthy]);
    assert_eq!(gateway.ask(GET).status, 503);
    // This one counts neither way.
    status.store(418, Ordering::SeqCst);
    assert_eq!(health(&gateway), [Unhealthy]);
    status.store(200, Ordering::SeqCst);
    becomes(&gateway, &[Healthy]);
    assert_eq!(gateway.ask(GET).status, 200);
}

#[test]
fn a_probe_looks_as_it_was_configured() {
    let heads = Arc::new(std::sync::Mutex::new(String::new()));
    let own = Arc::clone(&heads);
    let (address, probes) = upstream(move |mut client, _| {
        if let Some(request) = client.request() {
            *own.lock().unwrap() = request.head;
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut extra = checks(json!({"headers": {"x-probe": ["one", "two"]}}));
    extra["host_header"] = "pool.test".into();
    let _gateway = Gateway::start(balanced(&[address], extra));
    until("probed", || probes.load(Ordering::SeqCst) > 1);
    let head = heads.lock().unwrap().clone();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("GET /health HTTP/1.1"));
    for line in [
        "host: pool.test",
        "x-probe: one",
        "x-probe: two",
        "connection: close",
    ] {
        assert!(head.lines().any(|own| own == line), "{line} in {head}");
    }
}

#[test]
fn a_silent_target_is_out_by_its_timeouts() {
    let (silent, _) = upstream(|mut client, _| while client.request().is_some() {});
    let extra = checks(json!({"timeout": 0.1}));
    let gateway = Gateway::start(balanced(&[silent], extra));
    becomes(&gateway, &[Unhealthy]);
}

#[test]
fn a_connection_is_enough_for_tcp() {
    let (mute, _) = upstream(|_, _| {});
    let gateway = Gateway::start(balanced(&[mute, nobody()], checks(json!({"type": "tcp"}))));
    set_healthy(&gateway, false);
    becomes(&gateway, &[Healthy, Unhealthy]);
}

#[test]
fn tls_is_verified_and_shows_the_certificate_of_the_upstream() {
    const CERTIFICATE: &str = "00000000-0000-4000-8000-000000000071";
    let (own, client) = (pair("target.test"), pair("gateway.test"));
    let address = tls_upstream_for(&own, Some(&client));
    for (verify, sni, expected) in [
        (true, "target.test", Healthy),
        (true, "other.test", Unhealthy),
        (false, "other.test", Healthy),
    ] {
        let mut extra = checks(json!({
            "type": "https", "https_sni": sni, "https_verify_certificate": verify,
        }));
        extra["client_certificate"] = json!({"id": CERTIFICATE});
        let mut config = balanced(&[address], extra);
        config["certificates"] = json!([
            {"id": CERTIFICATE, "cert": client.cert, "key": client.key},
        ]);
        let mut trusted = rustls::RootCertStore::empty();
        trusted.add(own.der.clone()).unwrap();
        let gateway = Gateway::trusting(config, trusted, |_| {}, |_| None);
        // A target is healthy until it was probed, so it is taken out first.
        set_healthy(&gateway, expected != Healthy);
        becomes(&gateway, &[expected]);
    }
}

fn set_healthy(gateway: &Gateway, healthy: bool) {
    let runtime = gateway.shared.load();
    let balancer = runtime.upstreams()[0].balancer();
    let peers: Vec<_> = balancer.peers().map(|peer| peer.index).collect();
    for peer in peers {
        balancer.set_healthy(peer, healthy);
    }
}

/// A gRPC server whose health service answers as the switch says.
fn grpc(serving: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = Arc::clone(&serving);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                        assert_eq!(request.headers()["content-type"], "application/grpc");
                        let head =
                            http::Response::builder().header("content-type", "application/grpc");
                        let mut body = respond
                            .send_response(head.body(()).unwrap(), false)
                            .unwrap();
                        let status = if serving.load(Ordering::SeqCst) { 1 } else { 2 };
                        let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
                        body.send_data(message, false).unwrap();
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                        body.send_trailers(trailers).unwrap();
                    }
                });
            }
        });
    });
    address
}

#[test]
fn a_grpc_server_is_asked_for_its_own_word() {
    let serving = Arc::new(AtomicBool::new(false));
    let address = grpc(Arc::clone(&serving));
    let gateway = Gateway::start(balanced(&[address], checks(json!({"type": "grpc"}))));
    becomes(&gateway, &[Unhealthy]);
    serving.store(true, Ordering::SeqCst);
    becomes(&gateway, &[Healthy]);
}

/// Adds the upstream of one configuration, with its target, to another.
fn with_other(config: &mut Value, mut other: Value) {
    for kind in ["upstreams", "targets"] {
        let mut entity = other[kind][0].take();
        entity["id"] = OTHER.into();
        if kind == "upstreams" {
            entity["name"] = "other".into();
        } else {
            entity["upstream"]["id"] = OTHER.into();
        }
        config[kind].as_array_mut().unwrap().push(entity);
    }
}

#[test]
fn health_and_probes_survive_a_change_of_the_configuration() {
    let (stays, ..) = switched();
    let (flips, status, probes) = switched();
    let config = balanced(&[stays, flips], checks(json!({})));
    let gateway = Gateway::start(config.clone());
    status.store(500, Ordering::SeqCst);
    becomes(&gateway, &[Healthy, Unhealthy]);
    let mut changed = config.clone();
    changed["upstreams"][0]["slots"] = 100.into();
    gateway.swap(changed);
    assert_eq!(health(&gateway), [Healthy, Unhealthy]);
    status.store(200, Ordering::SeqCst);
    becomes(&gateway, &[Healthy, Healthy]);
    // Without checks nobody is probed any more, while others are.
    let (other, _, others) = switched();
    let mut changed = balanced(&[stays, flips], json!({}));
    with_other(&mut changed, balanced(&[other], checks(json!({}))));
    gateway.swap(changed);
    until("probed", || others.load(Ordering::SeqCst) > 0);
    let ended = probes.load(Ordering::SeqCst);
    until("probed on", || others.load(Ordering::SeqCst) > 5);
    // What was under way may still have ended.
    assert!(probes.load(Ordering::SeqCst) <= ended + 1);
}

#[test]
fn a_target_is_probed_once_at_a_time_however_many_workers_there_are() {
    let (held, held_probes) = upstream(|mut client, _| {
        client.request().unwrap();
        // No answer until the gateway goes.
        client.is_closed();
    });
    let (other, _, others) = switched();
    let mut config = balanced(&[held], checks(json!({})));
    with_other(&mut config, balanced(&[other], checks(json!({}))));
    // Two workers; probes of each would show as two that wait for an answer.
    let _gateway = Gateway::start(config);
    until("probed", || held_probes.load(Ordering::SeqCst) > 0);
    let before = others.load(Ordering::SeqCst);
    until("probed on", || others.load(Ordering::SeqCst) >= before + 8);
    assert_eq!(held_probes.load(Ordering::SeqCst), 1);
}
