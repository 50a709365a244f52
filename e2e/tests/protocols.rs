//! HTTP/2 and gRPC, judged by programs that others have published.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use e2e::{Node, Role, Upstream, ports, variable};
use serde_json::{Value, json};

/// The name that the certificate of the tests is for.
const NAME: &str = "keelgate.test";

/// The cases of gRPC's interoperability client that need no account anywhere: unary calls, streams
/// in either and both directions, deadlines, cancellation, statuses, metadata.
const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];

/// A certificate and its key in a directory of their own.
struct Certificate {
    directory: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let made =
            rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("make a certificate");
        let write = |name, text: String| {
            std::fs::write(directory.path().join(name), text).expect("write a file");
        };
        write("cert.pem", made.cert.pem());
        write("key.pem", made.signing_key.serialize_pem());
        Self { directory }
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

/// A node that speaks HTTP/2 on both of its ports.
async fn node(certificate: &Certificate, services: Value) -> Node {
    let (clear, tls) = (ports::free(), ports::free());
    let listen = format!("127.0.0.1:{clear} http2, 127.0.0.1:{tls} ssl http2");
    let (cert, key) = (certificate.file("cert.pem"), certificate.file("key.pem"));
    let settings = [
        ("proxy_listen", listen.as_str()),
        ("ssl_cert", cert.as_str()),
        ("ssl_cert_key", key.as_str()),
    ];
    let mut node = Node::start(Role::Dbless, &settings, &[]);
    (node.ports.proxy, node.ports.proxy_tls) = (clear, tls);
    node.up().await;
    let config = json!({"_format_version": "3.0", "services": services});
    node.change("POST", "/config", config).await;
    node.ready().await;
    node
}

/// Runs a judge; what it said where it found fault.
async fn judge(mut command: Command) -> Result<String, String> {
    let run = move || command.stdin(Stdio::null()).output();
    let output = tokio::task::spawn_blocking(run)
        .await
        .expect("the judge is waited for")
        .expect("run the judge");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}

fn h2spec(port: u16) -> Command {
    let mut command = Command::new(variable("KEELGATE_TEST_H2SPEC"));
    command.args(["--host", "127.0.0.1", "--strict", "--timeout", "10"]);
    command.args(["--port", &port.to_string()]);
    command
}

/// What h2spec says of the cases that failed.
fn failures(said: &str) -> &str {
    said.split_once("Failures:").map_or(said, |(_, rest)| rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_as_its_standards_say() {
    let (upstream, certificate) = (Upstream::start().await, Certificate::new());
    let services = json!([{"name": "echo", "url": upstream.url(), "routes": [{"name": "echo", "paths": ["/"]}]}]);
    let node = node(&certificate, services).await;

    let mut over_tls = h2spec(node.ports.proxy_tls);
    over_tls.args(["--tls", "--insecure"]);
    if let Err(said) = judge(over_tls).await {
        panic!("over TLS:{}", failures(&said));
    }
    // In clear both versions are spoken on one port: what does not begin with the preface of
    // HTTP/2 is answered in HTTP/1, see docs/protocols.md.
    let said = judge(h2spec(node.ports.proxy))
        .await
        .expect_err("the answer in HTTP/1");
    let failed: Vec<&str> = failures(&said)
        .lines()
        .filter(|line| line.trim_start().starts_with('×'))
        .map(str::trim)
        .collect();
    assert_eq!(
        failed,
        ["× 2: Sends invalid connection preface"],
        "in clear:{}",
        failures(&said)
    );
}

/// gRPC's interoperability server; ends with this value.
struct Server {
    port: u16,
    child: Child,
}

impl Server {
    async fn start(certificate: Option<&Certificate>) -> Self {
        let port = ports::free();
        let mut command = Command::new(variable("KEELGATE_TEST_GRPC_SERVER"));
        command.args(["--port", &port.to_string()]);
        if let Some(certificate) = certificate {
            command
                .args(["--use_tls", "--tls_cert_file"])
                .arg(certificate.file("cert.pem"))
                .arg("--tls_key_file")
                .arg(certificate.file("key.pem"));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the server");
        let server = Self { port, child };
        e2e::wait::until("gRPC's server to listen", || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
        })
        .await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs every case through the node, in clear and over TLS; those that failed.
async fn cases(node: &Node, ca: &Path) -> Vec<String> {
    let mut failed = Vec::new();
    for case in CASES {
        for tls in [false, true] {
            let mut command = Command::new(variable("KEELGATE_TEST_GRPC_CLIENT"));
            let port = if tls {
                node.ports.proxy_tls
            } else {
                node.ports.proxy
            };
            command
                .args(["--server_host", "127.0.0.1", "--server_port"])
                .arg(port.to_string())
                .args(["--test_case", case]);
            if tls {
                command
                    .args(["--use_tls", "--use_test_ca", "--server_host_override", NAME])
                    .arg("--ca_file")
                    .arg(ca);
            }
            if let Err(said) = judge(command).await {
                failed.push(format!("{case}, TLS {tls}: {said}"));
            }
        }
    }
    failed
}

async fn grpc_passes(protocol: &str, behind_tls: bool) {
    let certificate = Certificate::new();
    let server = Server::start(behind_tls.then_some(&certificate)).await;
    let services = json!([{
        "name": "interop", "protocol": protocol, "host": "127.0.0.1", "port": server.port,
        "routes": [{"name": "interop", "protocols": ["grpc", "grpcs"], "paths": ["/grpc.testing."]}],
    }]);
    let node = node(&certificate, services).await;
    let failed = cases(&node, Path::new(&certificate.file("cert.pem"))).await;
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes_to_a_service_in_clear() {
    grpc_passes("grpc", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes_to_a_service_over_tls() {
    grpc_passes("grpcs", true).await;
}

/// What the tests need of gRPC's own description of the interoperability server.
const DESCRIPTION: &str = r#"
syntax = "proto3";
package grpc.testing;
import "google/api/annotations.proto";
service TestService {
  rpc UnaryCall(SimpleRequest) returns (SimpleResponse) {
    option (google.api.http) = {
      post: "/v1/unary" body: "*"
      additional_bindings { get: "/v1/unary/{response_size}" }
    };
  }
}
message Payload { bytes body = 2; }
message EchoStatus { int32 code = 1; string message = 2; }
message SimpleRequest {
  int32 response_size = 2;
  Payload payload = 3;
  EchoStatus response_status = 7;
}
message SimpleResponse { Payload payload = 1; }
"#;

/// `SimpleRequest { response_size: 3 }`, and the response to it, in their frames.
const ASKED: &[u8] = b"\0\0\0\0\x02\x10\x03";
const ANSWERED: &[u8] = b"\0\0\0\0\x07\x0a\x05\x12\x03\0\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn others_call_services_of_grpc() {
    let (certificate, server) = (Certificate::new(), Server::start(None).await);
    let file = certificate.file("testing.proto");
    std::fs::write(&file, DESCRIPTION).expect("write a file");
    let service = |name: &str, path: &str| {
        json!({
            "name": name, "protocol": "grpc", "host": "127.0.0.1", "port": server.port,
            "routes": [{"name": name, "paths": [path], "strip_path": false}],
            "plugins": [{"name": name, "config": {"proto": file}}],
        })
    };
    let services = json!([
        service("grpc-web", "/grpc.testing."),
        service("grpc-gateway", "/v1")
    ]);
    let node = node(&certificate, services).await;
    let client = reqwest::Client::new();
    let call = async |method: &str, kind: &str, body: &[u8]| {
        let url = node.proxy(&format!("/grpc.testing.TestService/{method}"));
        let request = client.post(url).header("content-type", kind);
        let answer = request.body(body.to_vec()).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], kind);
        answer.bytes().await.expect("a body").to_vec()
    };
    let answer = call("UnaryCall", "application/grpc-web+proto", ASKED).await;
    assert!(answer.starts_with(ANSWERED), "{}", answer.escape_ascii());
    let end = &answer[ANSWERED.len()..];
    assert_eq!(end[0], 0x80);
    assert!(
        end[5..].starts_with(b"grpc-status:0\r\n"),
        "{}",
        end.escape_ascii()
    );
    let refused = call("NoSuchCall", "application/grpc-web", ASKED).await;
    assert!(
        refused[5..].starts_with(b"grpc-status:12\r\n"),
        "{}",
        refused.escape_ascii()
    );
    let text = call("UnaryCall", "application/json", br#"{"response_size": 3}"#).await;
    let text: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(text, json!({"payload": {"body": "AAAA"}}));

    let answer = client.get(node.proxy("/v1/unary/3")).send().await;
    let answer = answer.expect("an answer").text().await.expect("a body");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer, json!({"payload": {"body": "AAAA"}}));
    let refused = client
        .post(node.proxy("/v1/unary"))
        .body(r#"{"response_status": {"code": 5, "message": "none"}}"#)
        .send()
        .await
        .expect("an answer");
    assert_eq!(refused.status(), 404);
}
