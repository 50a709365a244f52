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
