//! Services of gRPC, called by those who do not speak it.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use keelgate_plugins::{Plugin, Registry};
use serde_json::json;

use crate::frames::{DATA, END_HEADERS, END_STREAM, Field, HEADERS, Peer, block, ok};
use crate::http2;
use crate::support::{Gateway, config, nobody, upstream};

const GRPC: Field<'_> = (b"content-type", b"application/grpc");
const CALL: &str = "POST /p.S/M HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc-web\r\n\
                    Content-Length: 6\r\n\r\n\0\0\0\0\x01a";

fn compile(plugin: &keelgate_entities::kinds::Plugin) -> Option<Arc<dyn Plugin>> {
    let registry = Registry::new(uuid::Uuid::nil(), "node.test");
    registry.compile(plugin, &Arc::default()).ok()
}

/// A gateway with `grpc-web` before a service that plays `script` for every call.
fn gateway(script: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> Gateway {
    let (address, _) = upstream(move |client, _| {
        let mut server = Peer::greet(client, &[]);
        while let Some(stream) = server.request() {
            script(&mut server, stream);
        }
    });
    before(address)
}

fn before(address: std::net::SocketAddr) -> Gateway {
    let mut config = config(address);
    config["services"][0]["protocol"] = "grpc".into();
    config["plugins"] = json!([{
        "id": "00000000-0000-4000-8000-000000000054", "name": "grpc-web", "config": {},
        "protocols": ["http"],
    }]);
    Gateway::with(config, |settings| settings.listen[0].http2 = true, compile)
}

fn end(server: &mut Peer, stream: u32, fields: &[Field<'_>]) {
    server.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields));
}

#[test]
fn messages_pass_and_the_status_follows_them() {
    let gateway = gateway(|server, stream| {
        assert_eq!(server.body(stream).unwrap(), b"\0\0\0\0\x01a");
        server.head(stream, &[GRPC]);
        server.send(DATA, 0, stream, b"\0\0\0\0");
        server.send(DATA, 0, stream, b"\x02hi");
        end(
            server,
            stream,
            &[(b"grpc-status", b"0"), (b"x-after", b"1")],
        );
    });
    let expected = b"\0\0\0\0\x02hi\x80\0\0\0\x29grpc-status:0\r\ngrpc-message:\r\nx-after:1\r\n";
    let response = gateway.ask(CALL);
    assert_eq!(response.status, 200);
    let content_type = response.header("Content-Type");
    assert_eq!(content_type, Some("application/grpc-web"));
    assert_eq!(
        response.body.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    // And to clients of HTTP/2.
    let request = Request::post("http://h.test/p.S/M")
        .header("content-type", "application/grpc-web")
        .body(Full::new(Bytes::from_static(b"\0\0\0\0\x01a")))
        .unwrap();
    let (parts, body) = http2::ask(&gateway, vec![request]).remove(0);
    assert_eq!(parts.headers["content-type"], "application/grpc-web");
    assert_eq!(
        body.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

#[test]
fn a_call_that_is_refused_ends_with_its_status() {
    let gateway = gateway(|server, stream| {
        server.body(stream).unwrap();
        let fields = [GRPC, (b"grpc-status", b"7"), (b"grpc-message", b"no")];
        server.send(HEADERS, END_HEADERS | END_STREAM, stream, &ok(&fields));
    });
    let response = gateway.ask(CALL);
    assert_eq!(response.status, 200);
    assert_eq!(&response.body[5..], b"grpc-status:7\r\ngrpc-message:no\r\n");
}

#[test]
fn that_there_is_no_service_is_told_as_a_status() {
    let response = before(nobody()).ask(CALL);
    assert_eq!(response.status, 502);
    assert_eq!(&response.body[5..], b"grpc-status:14\r\ngrpc-message:\r\n");
}
