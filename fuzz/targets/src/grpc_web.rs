//! Whatever a browser sends and a service answers, what comes out is made of whole frames, the last one with the
//! status.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderValue, Method};
use keelgate_entities::kinds;
use keelgate_plugins::{Access, Directory, Flow, Plugin, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::exchange;
use crate::input::lines;

const PROTO: &str = "syntax = \"proto3\"; package p;
    service S { rpc M(A) returns (A); }
    message A { string a = 1; repeated A b = 2; map<string, double> c = 3; oneof d { bool e = 4; bytes f = 5; } }";

static GRPC_WEB: LazyLock<Arc<dyn Plugin>> = LazyLock::new(|| {
    let file = std::env::temp_dir().join(format!("keelgate-fuzz-{}.proto", std::process::id()));
    std::fs::write(&file, PROTO).expect("the file can be written");
    let plugin = json!({
        "id": Uuid::nil(), "name": "grpc-web", "enabled": true, "protocols": ["http"],
        "config": {"proto": file.to_str().expect("it is text")},
    });
    let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
    Registry::new(Uuid::nil(), "node.test")
        .compile(&plugin, &Arc::new(Directory::default()))
        .expect("the settings are good")
});

/// The first byte says by its lowest bit whether messages are JSON, and else how long the pieces of the answer are;
/// then comes a line that is the request, and the answer.
pub(crate) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let json = kind & 1 == 1;
    let [sent, answer] = lines(bytes);
    let pieces = answer.chunks(usize::from(kind >> 1) + 1);
    let kind: &[u8] = if json {
        b"application/grpc-web+json"
    } else {
        b"application/grpc-web"
    };
    let mut exchange = exchange("content-type", kind, "");
    exchange.method = Method::POST;
    exchange.raw_path = "/p.S/M".to_owned();
    exchange.request_body = Some(Bytes::copy_from_slice(sent));
    let access = GRPC_WEB.access(&mut exchange);
    let refused = matches!(access, Access::Ready(Flow::Respond(_)));
    drop(access);
    if refused {
        assert!(json, "what is not translated is not judged");
        return;
    }
    if json {
        assert_eq!(
            frames(&exchange.request_body.take().unwrap_or_default()),
            Some(())
        );
    }
    let headers = &mut exchange.response.headers;
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    GRPC_WEB.header_filter(&mut exchange);
    let mut body = Vec::new();
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece);
        body.extend_from_slice(&GRPC_WEB.body_filter(&mut exchange, piece, false));
    }
    let end = GRPC_WEB.body_filter(&mut exchange, Bytes::new(), true);
    assert_eq!(end[0], 0x80);
    assert_eq!(frames(&end), Some(()));
    if json {
        assert_eq!(frames(&body), Some(()));
    }
}

/// Whether bytes are whole frames to their end.
fn frames(mut bytes: &[u8]) -> Option<()> {
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        bytes = rest.split_at_checked(length as usize)?.1;
    }
    bytes.is_empty().then_some(())
}
