//! A certificate authority of a test's own that speaks ACME: pebble, with its name server.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use tempfile::TempDir;

use crate::{ports, variable, wait};

/// An authority. Killed when dropped.
pub struct Pebble {
    port: u16,
    management: u16,
    directory: TempDir,
    children: Vec<Child>,
}

/// The id and key that accounts are bound to, where they must be.
pub const BINDING: (&str, &str) = (
    "kid-1",
    "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
);

impl Pebble {
    /// Starts one. All names lead to this machine, where it asks this port for answers to its
    /// challenges. With `bound`, accounts must be bound to another one.
    pub async fn start(http_port: u16, bound: bool) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("keelgate-pebble-")
            .tempdir()
            .expect("make a directory");
        let (port, management, names) = (ports::free(), ports::free(), ports::free());
        let mut pebble = Self {
            port,
            management,
            directory,
            children: Vec::new(),
        };
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .expect("make a certificate");
        pebble.write("server.crt", &made.cert.pem());
        pebble.write("server.key", &made.signing_key.serialize_pem());
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": pebble.path("server.crt"),
            "privateKey": pebble.path("server.key"),
            "httpPort": http_port,
            "tlsPort": ports::free(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": bound,
            "externalAccountMACKeys": {BINDING.0: BINDING.1},
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "-", "validityPeriod": 7_776_000}},
        }});
        pebble.write("config.json", &config.to_string());
        let names = format!("127.0.0.1:{names}");
        pebble.spawn(
            "KEELGATE_TEST_PEBBLE_NAMES",
            &[
                "-dnsserver",
                &names,
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-doh",
                "",
                "-tlsalpn01",
                "",
                "-management",
                &format!("127.0.0.1:{}", ports::free()),
            ],
        );
        let config = pebble.path("config.json");
        pebble.spawn(
            "KEELGATE_TEST_PEBBLE",
            &["-config", &config, "-dnsserver", &names],
        );
        for port in [
            port,
            names.parse::<SocketAddr>().expect("an address").port(),
        ] {
            wait::until("pebble", || async move {
                let address = (Ipv4Addr::LOCALHOST, port);
                tokio::net::TcpStream::connect(address).await.map(drop)
            })
            .await;
        }
        pebble
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let log = std::fs::File::create(self.path(&format!("{program}.log"))).expect("a log");
        let child = Command::new(variable(program))
            .args(arguments)
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_ALTERNATE_ROOTS", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log)
            .spawn();
        self.children.push(child.expect("start the program"));
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).expect("write a file");
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Its directory, where it is asked first.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The common names of its roots: of the chain that it offers first, and of the other one.
    pub async fn roots(&self) -> [String; 2] {
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .build();
        let client = client.expect("a client");
        let mut roots = [const { String::new() }; 2];
        for (at, root) in roots.iter_mut().enumerate() {
            let url = format!("https://localhost:{}/roots/{at}", self.management);
            let answer = client.get(url).send().await.expect("an answer");
            let pem = answer.text().await.expect("a certificate");
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
            let text = String::from_utf8_lossy(&der);
            let at = text.find("Pebble Root CA ").expect("a name");
            // Six digits tell one from the other.
            *root = text[at..].chars().take(21).collect();
        }
        roots
    }

    /// A file that says of these names, and of its own, that they are on this machine.
    pub fn hosts(&self, names: &[&str]) -> String {
        let names = names.join(" ");
        self.write("hosts", &format!("127.0.0.1 localhost {names}\n"));
        self.path("hosts")
    }

    /// The file with the certificate that its own TLS is believed by.
    pub fn authority(&self) -> String {
        self.path("server.crt")
    }

    /// Ends it; its files stay.
    pub fn kill(&mut self) {
        for mut child in self.children.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("KEELGATE_TEST_PEBBLE.log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.kill();
    }
}
