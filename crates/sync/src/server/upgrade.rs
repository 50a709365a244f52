//! The HTTP request that becomes a websocket.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use uuid::Uuid;

use crate::capability::Capabilities;
use crate::{OUTLET, capability};

/// Largest request head.
const MAX_HEAD: usize = 16 << 10;

const MAX_HEADERS: usize = 64;

/// The answer to a request without TLS.
pub(super) const PLAIN_HTTP: &str = "HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/html; charset=UTF-8\r\n\
    Content-Length: 220\r\n\
    Connection: close\r\n\r\n\
    <html>\r\n\
    <head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n\
    <body>\r\n\
    <center><h1>400 Bad Request</h1></center>\r\n\
    <center>The plain HTTP request was sent to HTTPS port</center>\r\n\
    </body>\r\n\
    </html>\r\n";

/// A websocket to a data plane.
pub(super) struct Upgraded {
    pub(super) stream: TlsStream<TcpStream>,
    /// Bytes that came right after the request.
    pub(super) rest: Vec<u8>,
    pub(super) node: Node,
    pub(super) capabilities: Capabilities,
}

/// What a data plane tells about itself in the query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// None when it is no UUID: such a node is served, but not recorded.
    pub(super) id: Option<Uuid>,
    pub(super) hostname: Option<String>,
    pub(super) version: String,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Upgrade {
        key: String,
        node: Node,
        capabilities: Capabilities,
    },
    Answer(&'static str),
    /// Closed without an answer, as Kong does with a bad websocket handshake.
    Close,
}

/// Reads the request and answers it; none when it does not become a websocket.
pub(super) async fn answer(mut stream: TlsStream<TcpStream>) -> io::Result<Option<Upgraded>> {
    let mut head = BytesMut::with_capacity(1024);
    let (decision, length) = loop {
        if head.len() > MAX_HEAD {
            break (Decision::Answer("400 Bad Request"), head.len());
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
        if let Some(decided) = decide(&head) {
            break decided;
        }
    };
    match decision {
        Decision::Upgrade {
            key,
            node,
            capabilities,
        } => {
            let accept = derive_accept_key(key.as_bytes());
            let mut answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\n\
                 Connection: upgrade\r\n\
                 Upgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n"
            );
            if let Some(list) = capabilities.list() {
                answer.push_str(&format!("Keelgate-Capabilities: {list}\r\n"));
            }
            answer.push_str("\r\n");
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            Ok(Some(Upgraded {
                stream,
                rest: head[length..].to_vec(),
                node,
                capabilities,
            }))
        }
        Decision::Answer(status) => {
            stream.write_all(page(status).as_bytes()).await?;
            stream.shutdown().await?;
            Ok(None)
        }
        Decision::Close => {
            stream.shutdown().await?;
            Ok(None)
        }
    }
}

/// Decides on a whole request head and tells its length; none while it is not whole.
fn decide(head: &[u8]) -> Option<(Decision, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(length)) => length,
        Err(_) => return Some((Decision::Answer("400 Bad Request"), head.len())),
    };
    Some((decide_request(&request), length))
}

fn decide_request(request: &httparse::Request<'_, '_>) -> Decision {
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != OUTLET {
        return Decision::Answer("404 Not Found");
    }
    let mut argument = Arguments::of(query);
    let (Some(id), Some(version)) = (argument.take("node_id"), argument.take("node_version"))
    else {
        return Decision::Answer("400 Bad Request");
    };
    let node = Node {
        id: id.parse().ok(),
        hostname: argument.take("node_hostname"),
        version,
    };
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let websocket = header("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let key = header("Sec-WebSocket-Key");
    let version = header("Sec-WebSocket-Version");
    let (Some("GET"), true, Some(key), Some("13")) = (request.method, websocket, key, version)
    else {
        return Decision::Close;
    };
    Decision::Upgrade {
        key: key.to_owned(),
        node,
        capabilities: header(capability::HEADER.as_str())
            .map(Capabilities::of)
            .unwrap_or_default(),
    }
}

/// The arguments of a query.
struct Arguments(Vec<(String, String)>);

impl Arguments {
    fn of(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self(pairs.into_owned().collect())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// A page of nginx, as Kong answers.
fn page(status: &str) -> String {
    let body = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n\
         <center><h1>{status}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    format!(
        "HTTP/1.1 {status}\r\n\
         Content-Type: text/html; charset=UTF-8\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "Upgrade: websocket\r\nHost: cp\r\nSec-WebSocket-Key: abc\r\n\
        Sec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n";

    fn decision(target: &str, headers: &str) -> Decision {
        let head = format!("GET {target} HTTP/1.1\r\n{headers}\r\n");
        for end in 0..head.len() {
            assert!(decide(&head.as_bytes()[..end]).is_none());
        }
        let (decision, length) = decide(head.as_bytes()).unwrap();
        assert_eq!(length, head.len());
        decision
    }

    #[test]
    fn a_data_plane_of_kong_is_upgraded() {
        let id = Uuid::from_u128(5);
        let target = format!("/v1/outlet?node_id={id}&node_hostname=a%20b&node_version=3.9.1");
        assert_eq!(
            decision(&target, HEADERS),
            Decision::Upgrade {
                key: "abc".to_owned(),
                node: Node {
                    id: Some(id),
                    hostname: Some("a b".to_owned()),
                    version: "3.9.1".to_owned(),
                },
                capabilities: Capabilities::default(),
            }
        );
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in ["/", "/v1/outlet/", "/v2/outlet", "/v1/other?node_id=1"] {
            assert_eq!(decision(path, HEADERS), Decision::Answer("404 Not Found"));
        }
    }

    #[test]
    fn id_and_version_are_needed_and_the_rest_is_not() {
        for query in ["", "?node_id=1", "?node_version=3.9.1"] {
            let target = format!("/v1/outlet{query}");
            assert_eq!(
                decision(&target, HEADERS),
                Decision::Answer("400 Bad Request")
            );
        }
        let Decision::Upgrade { node, .. } =
            decision("/v1/outlet?node_id=x&node_version=", HEADERS)
        else {
            panic!("not upgraded");
        };
        assert_eq!((node.id, node.hostname), (None, None));
    }

    #[test]
    fn a_bad_websocket_handshake_is_closed() {
        let target = "/v1/outlet?node_id=1&node_version=3.9.1";
        for missing in ["Upgrade: websocket\r\n", "Sec-WebSocket-Key: abc\r\n"] {
            let headers = HEADERS.replace(missing, "");
            assert_eq!(decision(target, &headers), Decision::Close);
        }
        let headers = HEADERS.replace("13", "12");
        assert_eq!(decision(target, &headers), Decision::Close);
    }

    #[test]
    fn the_length_of_each_page_is_true() {
        for page in [page("404 Not Found"), PLAIN_HTTP.to_owned()] {
            let (head, body) = page.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("Content-Length: {}", body.len())),
                "{page}"
            );
        }
    }
}
