//! What plugins log of sessions, seen by a receiver of datagrams.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use keelgate_entities::kinds;
use keelgate_plugins::{Directory, Plugin, Registry};
use keelgate_proxy::Transport;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stream::{Guard, Streams, echo, routed, service};
use crate::support::{PATIENCE, nobody};
use crate::tls::{connect, pair};

/// Where `udp-log` sends records to.
struct Log(UdpSocket);

impl Log {
    fn open() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The plugin that sends to it.
    fn plugin(&self, protocol: &str) -> Value {
        let config = json!({"host": "127.0.0.1", "port": self.0.local_addr().unwrap().port()});
        json!({
            "id": "00000000-0000-4000-8000-000000000054", "name": "udp-log",
            "protocols": [protocol], "config": config,
        })
    }

    fn record(&self) -> Value {
        let mut part = [0; 65536];
        let length = self.0.recv(&mut part).unwrap();
        serde_json::from_slice(&part[..length]).unwrap()
    }
}

fn compile(plugin: &kinds::Plugin) -> Option<Arc<dyn Plugin>> {
    if plugin.name == "guard" {
        return Guard::compile(plugin);
    }
    let directory = Arc::new(Directory::new(Vec::new(), Vec::new()));
    let registry = Registry::new(Uuid::from_u128(1), "node.test");
    registry.compile(plugin, &directory).ok()
}

fn start(mut config: Value, plugins: &[Value], transport: Transport) -> Streams {
    config["plugins"] = plugins.into();
    Streams::with(config, transport, |_| {}, compile)
}

fn to(protocol: &str, address: SocketAddr) -> Value {
    routed(&[protocol], service("tcp", address))
}

#[test]
fn a_session_in_clear_is_told_with_what_went_either_way() {
    let (log, address) = (Log::open(), echo());
    let streams = start(to("tcp", address), &[log.plugin("tcp")], Transport::Tcp);
    let mut client = streams.connect();
    client.send("ping");
    assert_eq!(client.exactly(4).unwrap(), b"ping");
    drop(client);
    let record = log.record();
    let session = &record["session"];
    assert_eq!(
        (&session["received"], &session["sent"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(session["status"], 200);
    assert_eq!(session["server_port"], streams.address().port());
    assert!(session.get("tls").is_none());
    assert_eq!(record["upstream"], json!({"received": 4, "sent": 4}));
    assert_eq!(record["tries"][0]["port"], address.port());
    assert_eq!(
        (&record["route"]["name"], &record["service"]["name"]),
        (&json!("r"), &json!("s"))
    );
    assert_eq!(record["client_ip"], "127.0.0.1");
    assert!(record["started_at"].is_u64() && record["latencies"]["session"].is_u64());
}

#[test]
fn a_session_over_tls_is_told_with_its_cipher() {
    let (log, name) = (Log::open(), pair("a.test"));
    let mut config = routed(&["tls"], service("tcp", echo()));
    config["certificates"] = json!([{
        "id": "00000000-0000-4000-8000-000000000080", "cert": name.cert, "key": name.key,
    }]);
    config["snis"] = json!([{
        "id": "00000000-0000-4000-8000-000000000081", "name": "a.test",
        "certificate": {"id": "00000000-0000-4000-8000-000000000080"},
    }]);
    let streams = start(config, &[log.plugin("tls")], Transport::Tls);
    let mut client = connect(streams.address(), "a.test", &name);
    client.send("ping");
    assert_eq!(client.exactly(4).unwrap(), b"ping");
    drop(client);
    let record = log.record();
    assert_eq!(record["session"]["tls"]["version"], "TLSv1.3");
    assert_eq!(record["session"]["received"], 4);
}

#[test]
fn a_session_of_datagrams_is_told_once_it_is_silent() {
    let log = Log::open();
    let answering = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut service = service("udp", answering.local_addr().unwrap());
    service["read_timeout"] = 1.into();
    let streams = start(
        routed(&["udp"], service),
        &[log.plugin("udp")],
        Transport::Udp,
    );
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"ping", streams.address()).unwrap();
    let record = log.record();
    assert_eq!(record["session"]["received"], 4);
    assert_eq!(record["upstream"], json!({"received": 0, "sent": 4}));
}

#[test]
fn sessions_that_are_refused_or_lead_nowhere_are_told_with_why() {
    let log = Log::open();
    let guard = json!({
        "id": "00000000-0000-4000-8000-000000000055", "name": "guard", "protocols": ["tcp"],
    });
    let plugins = [guard, log.plugin("tcp")];
    let streams = start(to("tcp", echo()), &plugins, Transport::Tcp);
    assert!(streams.connect().is_closed());
    let record = log.record();
    assert_eq!(
        (&record["session"]["status"], &record["tries"]),
        (&json!(403), &json!([]))
    );

    let mut service = service("tcp", nobody());
    service["retries"] = 0.into();
    let plugins = [log.plugin("tcp")];
    let streams = start(routed(&["tcp"], service), &plugins, Transport::Tcp);
    assert!(streams.connect().is_closed());
    let record = log.record();
    assert_eq!(record["session"]["status"], 502);
    assert_eq!(record["tries"][0]["code"], 502);
    assert_eq!(record["tries"][0]["state"], "failed");
}
