//! Host names of services and targets, with a real name server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use hickory_resolver::proto::rr::RecordType;
use keelgate_proxy::{Dns, Settings};
use serde_json::{Value, json};

use crate::balancing::{GET, balanced};
use crate::name_server::NameServer;
use crate::support::{Gateway, PATIENCE, SERVICE, upstream_at, with_service};

/// An address of this machine that no other test uses; each has many.
fn place(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 77, last)
}

/// An upstream at an address, which says its name.
fn named(address: SocketAddr, name: &'static str) -> SocketAddr {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
        name.len()
    );
    upstream_at(address, move |mut client, _| {
        while client.request().is_some() {
            client.send(&answer);
        }
    })
    .0
}

fn gateway(config: Value, server: &NameServer, dns: impl FnOnce(&mut Dns)) -> Gateway {
    let change = |settings: &mut Settings| {
        settings.dns.servers = vec![server.address];
        dns(&mut settings.dns);
    };
    Gateway::with(config, change, |_| None)
}

fn service(host: &str, port: u16) -> Value {
    with_service(json!({"id": SERVICE, "protocol": "http", "host": host, "port": port}))
}

fn target(name: &str) -> Value {
    let mut config = balanced(&[SocketAddr::from(([127, 0, 0, 1], 1))], json!({}));
    config["targets"][0]["target"] = name.into();
    config
}

/// Asks until the answer is `expected`; others may come before.
fn becomes(gateway: &Gateway, expected: &str) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let answer = gateway.ask(GET);
        assert_eq!(answer.status, 200, "a change of address costs no request");
        if answer.text() == expected {
            return;
        }
        assert!(Instant::now() < patience, "still {}", answer.text());
    }
}

#[test]
fn a_target_moves_with_its_name() {
    let first = named((place(1), 0).into(), "first");
    let second = named((place(2), first.port()).into(), "second");
    let server = NameServer::start();
    server.set("app.test.", 1, &[place(1)]);
    let config = target(&format!("app.test:{}", second.port()));
    let gateway = gateway(config, &server, |_| {});
    assert_eq!(gateway.ask(GET).text(), "first");
    server.set("app.test.", 1, &[place(2)]);
    becomes(&gateway, "second");
}

#[test]
fn a_service_moves_with_its_name_without_waiting() {
    let first = named((place(1), 0).into(), "first");
    named((place(2), first.port()).into(), "second");
    let server = NameServer::start();
    server.set("app.test.", 1, &[place(1)]);
    let gateway = gateway(service("app.test", first.port()), &server, |_| {});
    assert_eq!(gateway.ask(GET).text(), "first");
    server.set("app.test.", 1, &[place(2)]);
    becomes(&gateway, "second");
}

#[test]
fn addresses_are_kept_while_the_name_server_fails() {
    let first = named((place(1), 0).into(), "first");
    let second = named((place(2), first.port()).into(), "second");
    let server = NameServer::start();
    server.set("app.test.", 1, &[place(1)]);
    for config in [
        target(&format!("app.test:{}", second.port())),
        service("app.test", second.port()),
    ] {
        let gateway = gateway(config, &server, |_| {});
        assert_eq!(gateway.ask(GET).text(), "first");
        server.fail(true);
        let before = server.asked("app.test.", RecordType::A);
        while server.asked("app.test.", RecordType::A) < before + 2 {
            assert_eq!(gateway.ask(GET).text(), "first");
        }
        server.fail(false);
        server.set("app.test.", 1, &[place(2)]);
        becomes(&gateway, "second");
        server.set("app.test.", 1, &[place(1)]);
    }
}

#[test]
fn a_name_that_is_gone_takes_its_target_out() {
    let first = named((place(1), 0).into(), "first");
    let server = NameServer::start();
    server.set("app.test.", 1, &[place(1)]);
    let gateway = gateway(
        target(&format!("app.test:{}", first.port())),
        &server,
        |_| {},
    );
    assert_eq!(gateway.ask(GET).status, 200);
    server.set("app.test.", 1, &[]);
    let patience = Instant::now() + PATIENCE;
    while gateway.ask(GET).status != 503 {
        assert!(Instant::now() < patience, "it still serves");
    }
}

#[test]
fn many_who_wait_for_a_name_ask_once() {
    let first = named((place(1), 0).into(), "first");
    let server = NameServer::start();
    server.set("app.test.", 60, &[place(1)]);
    let gateway = gateway(service("app.test", first.port()), &server, |_| {});
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(gateway.ask(GET).status, 200));
        }
    });
    // A question whose answer is late is asked once or twice again.
    let asked = server.asked("app.test.", RecordType::A);
    assert!(asked <= 3, "asked {asked} times");
}

#[test]
fn the_order_of_kinds_is_that_of_the_settings() {
    let first = named((place(1), 0).into(), "first");
    let server = NameServer::start();
    server.set("app.test.", 60, &[place(1)]);
    let gateway = gateway(service("app.test", first.port()), &server, |dns| {
        dns.order = vec![keelgate_proxy::DnsRecord::A];
    });
    assert_eq!(gateway.ask(GET).status, 200);
    assert_eq!(server.asked("app.test.", RecordType::SRV), 0);
}

#[test]
fn servers_bring_ports_and_weights_and_only_the_best_priority_counts() {
    let heavy = named((place(1), 0).into(), "heavy");
    let light = named((place(2), 0).into(), "light");
    let spare = named((place(3), 0).into(), "spare");
    let server = NameServer::start();
    server.set_servers(
        "_http._tcp.app.test.",
        60,
        &[
            (1, 3, heavy.port(), "heavy.test."),
            (1, 1, light.port(), "light.test."),
            (2, 9, spare.port(), "spare.test."),
        ],
    );
    server.set("heavy.test.", 60, &[place(1)]);
    server.set("light.test.", 60, &[place(2)]);
    server.set("spare.test.", 60, &[place(3)]);
    let balanced = gateway(target("_http._tcp.app.test:80"), &server, |_| {});
    let mut answers: Vec<String> = (0..8).map(|_| balanced.ask(GET).text()).collect();
    answers.sort();
    let expected = [["heavy"; 6].as_slice(), &["light"; 2]].concat();
    assert_eq!(answers, expected);

    let plain = gateway(service("_http._tcp.app.test", 80), &server, |_| {});
    for _ in 0..8 {
        assert_ne!(plain.ask(GET).text(), "spare");
    }
}

#[test]
fn fixed_names_need_no_server() {
    let first = named((place(1), 0).into(), "first");
    let directory = std::env::temp_dir().join(format!("hosts-{}", std::process::id()));
    std::fs::write(&directory, format!("{} app.test\n", place(1))).unwrap();
    let server = NameServer::start();
    let gateway = gateway(service("App.test", first.port()), &server, |dns| {
        dns.hosts_file = directory.clone();
    });
    assert_eq!(gateway.ask(GET).text(), "first");
    assert_eq!(server.asked("app.test.", RecordType::A), 0);
    std::fs::remove_file(directory).unwrap();
}
