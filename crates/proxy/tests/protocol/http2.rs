//! HTTP/2 towards clients.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keelgate_proxy::Listen;

use crate::support::{Gateway, config, echo, upstream};

pub(crate) type Answer = (http::response::Parts, Bytes);

/// Sends requests on one connection, all at once.
pub(crate) fn ask(gateway: &Gateway, requests: Vec<Request<Full<Bytes>>>) -> Vec<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let sender = connect(gateway).await;
        let answers = requests.into_iter().map(|request| {
            let mut sender = sender.clone();
            async move {
                let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
                (parts, body.collect().await.unwrap().to_bytes())
            }
        });
        futures_util::future::join_all(answers).await
    })
}

async fn connect(gateway: &Gateway) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(gateway.address())
        .await
        .unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

fn gateway() -> Gateway {
    over_http2(config(echo()))
}

/// Speaks HTTP/2 to clients as well.
pub(crate) fn over_http2(config: serde_json::Value) -> Gateway {
    Gateway::with(
        config,
        |settings| {
            settings.listen = vec![Listen {
                http2: true,
                ..Listen::http(SocketAddr::from(([127, 0, 0, 1], 0)))
            }];
        },
        |_| None,
    )
}

#[test]
fn streams_are_proxied_side_by_side() {
    let body = "b".repeat(300_000);
    let request = |n: usize| {
        Request::post(format!("http://h.test/{n}?q"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Full::from(body.clone()))
            .unwrap()
    };
    for (n, (parts, answer)) in ask(&gateway(), (0..8).map(request).collect())
        .into_iter()
        .enumerate()
    {
        let seen = String::from_utf8(answer.to_vec()).unwrap();
        assert_eq!(parts.status, 200);
        assert!(
            seen.starts_with(&format!("POST /{n}?q HTTP/1.1")),
            "{}",
            &seen[..200]
        );
        for line in [
            "Via: 2 keelgate/0.1.0",
            "X-Forwarded-Host: h.test",
            "Cookie: a=1; b=2",
        ] {
            assert!(seen.contains(line), "{line}");
        }
        assert!(seen.ends_with(&body));
        assert_eq!(parts.headers["via"], "1.1 keelgate/0.1.0");
    }
}

#[test]
fn a_stream_that_is_given_up_ends_at_the_upstream_too() {
    let (told, seen) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let (address, _) = upstream(move |mut client, _| {
        client.request().unwrap();
        told.lock().unwrap().send("asked").unwrap();
        assert!(client.is_closed());
        told.lock().unwrap().send("ended").unwrap();
    });
    let gateway = over_http2(config(address));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let sender = runtime.block_on(connect(&gateway));
    let mut asker = sender.clone();
    let request = Request::get("http://h.test/")
        .body(Full::<Bytes>::default())
        .unwrap();
    let asking = runtime.spawn(async move { asker.send_request(request).await.is_ok() });
    // Long before the upstream's own time is over.
    let next = || seen.recv_timeout(crate::support::PATIENCE);
    assert_eq!(next(), Ok("asked"));
    asking.abort();
    assert_eq!(next(), Ok("ended"));
    drop(sender);
}

#[test]
fn a_connection_without_streams_is_closed() {
    let gateway = Gateway::with(
        config(echo()),
        |settings| {
            settings.listen = vec![Listen {
                http2: true,
                ..Listen::http(SocketAddr::from(([127, 0, 0, 1], 0)))
            }];
            settings.client.keepalive_timeout = std::time::Duration::from_millis(20);
        },
        |_| None,
    );
    let mut silent = gateway.connect();
    silent.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(silent.until("never sent").is_none(), "it is closed");
}

#[test]
fn http1_is_served_on_the_same_port() {
    let gateway = gateway();
    assert_eq!(gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
}

#[test]
fn refusals_reach_streams_too() {
    let gateway = gateway();
    let trace = Request::builder()
        .method("TRACE")
        .uri("http://h.test/")
        .body(Full::default())
        .unwrap();
    assert_eq!(ask(&gateway, vec![trace])[0].0.status, 405);
}

fn grpc(path: &str) -> Request<Full<Bytes>> {
    Request::post(format!("http://h.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::default())
        .unwrap()
}

#[test]
fn grpc_clients_are_told_in_headers() {
    let gateway = over_http2(serde_json::json!({}));
    let (parts, body) = ask(&gateway, vec![grpc("/a.B/C")]).remove(0);
    assert_eq!((parts.status.as_u16(), body.len()), (404, 0));
    assert_eq!(parts.headers["content-type"], "application/grpc");
    assert_eq!(parts.headers["grpc-status"], "5");
    assert_eq!(parts.headers["grpc-message"], "NotFound");

    let mut config = config(crate::support::nobody());
    config["services"][0]["protocol"] = "grpc".into();
    let gateway = over_http2(config);
    let (parts, body) = ask(&gateway, vec![grpc("/a.B/C")]).remove(0);
    assert_eq!((parts.status.as_u16(), body.len()), (502, 0));
    assert_eq!(parts.headers["grpc-status"], "13");
    assert_eq!(
        parts.headers["grpc-message"],
        "An invalid response was received from the upstream server"
    );
}

/// A request whose response is watched frame by frame.
async fn get_by_hand(gateway: &Gateway) -> h2::client::ResponseFuture {
    let stream = tokio::net::TcpStream::connect(gateway.address())
        .await
        .unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://h.test/").body(()).unwrap();
    let mut sender = sender.ready().await.unwrap();
    sender.send_request(request, true).unwrap().0
}

#[test]
fn early_hints_reach_streams_too() {
    let (address, _) = upstream(|mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n");
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        client.is_closed();
    });
    let gateway = over_http2(config(address));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (hint, response) = runtime.block_on(async {
        let mut response = get_by_hand(&gateway).await;
        let hint = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
        (hint.unwrap().unwrap(), response.await.unwrap())
    });
    assert_eq!(hint.status(), 103);
    assert_eq!(hint.headers()["link"], "<x>");
    assert_eq!(response.status(), 200);
}

#[test]
fn a_response_cut_short_ends_its_stream_with_an_error() {
    let (address, _) = upstream(|mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    let gateway = over_http2(config(address));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let reason = runtime.block_on(async {
        let response = get_by_hand(&gateway).await;
        // The end may overtake the head.
        let read = async {
            let mut body = response.await?.into_body();
            while let Some(piece) = body.data().await {
                piece?;
            }
            Ok::<_, h2::Error>(())
        };
        read.await.unwrap_err().reason()
    });
    assert_eq!(reason, Some(h2::Reason::INTERNAL_ERROR));
}
